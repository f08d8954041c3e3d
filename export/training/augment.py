"""Random changes to training pictures, so that a network sees none of them twice.

Rotation, scale, shear and translation as in P. Simard, D. Steinkraus, J. Platt, Best practices for
convolutional neural networks applied to visual document analysis, ICDAR 2003, section 2, without its
elastic part. Crops, mirror images and colours as in A. Krizhevsky, I. Sutskever, G. Hinton, ImageNet
classification with deep convolutional neural networks, NIPS 2012, section 4.1.

All take and give uint8 of [batch, height, width, channels]; the same `seed` (two integers) gives the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Affine:
    """How far a picture may be warped either way; each value is drawn evenly from its range.

    `rotation` and `shear` are in degrees, `scale` is a part of the size (0.1: from 90 to 110 %, each axis on
    its own), `translation` is in pixels. What comes in at the border is black, or like what is nearest.
    """

    rotation: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    translation: float = 0.0
    border: Literal["constant", "nearest"] = "constant"

    def warp(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Warp each of these pictures about its middle, each in its own way."""
        import tensorflow as tf

        size = tf.shape(images)[1:3]
        return tf.saturate_cast(
            tf.round(
                tf.raw_ops.ImageProjectiveTransformV3(
                    images=tf.cast(images, tf.float32),
                    transforms=self._transforms(tf.shape(images)[0], tf.cast(size, tf.float32), seed),
                    output_shape=size,
                    interpolation="BILINEAR",
                    fill_mode=self.border.upper(),
                    fill_value=0.0,
                )
            ),
            tf.uint8,
        )

    def _transforms(self, count: tf.Tensor, size: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """From each place in the result to the place in the picture: rows of a0 a1 a2 b0 b1 b2 0 0, where
        x' = a0 x + a1 y + a2 and y' = b0 x + b1 y + b2.
        """
        import tensorflow as tf

        draw = tf.random.stateless_uniform([6, count], seed, minval=-1.0, maxval=1.0)
        angle = draw[0] * (self.rotation * pi / 180)
        slant = tf.tan(draw[1] * (self.shear * pi / 180))
        wide, high = 1 + draw[2] * self.scale, 1 + draw[3] * self.scale
        # rotation, then shear along x, then scale
        a0, a1 = tf.cos(angle) / wide, (tf.cos(angle) * slant - tf.sin(angle)) / high
        b0, b1 = tf.sin(angle) / wide, (tf.sin(angle) * slant + tf.cos(angle)) / high
        # the middle stays where it is, but for the translation
        y, x = (size[0] - 1) / 2, (size[1] - 1) / 2
        a2 = x - a0 * x - a1 * y + draw[4] * self.translation
        b2 = y - b0 * x - b1 * y + draw[5] * self.translation
        zero = tf.zeros_like(a0)
        return tf.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1)


@dataclass(frozen=True)
class Augmentation:
    """All that happens to a training picture, in this order.

    `crop` is the height and width of the part that is kept, from a random place; `mirror` turns every other
    picture about its vertical axis; `colour` is the deviation of the random share of each principal component
    of the training pictures' colours that is added to a picture.
    """

    crop: tuple[int, int] | None = None
    mirror: bool = False
    warp: Affine | None = None
    colour: float = 0.0

    def apply(self, images: tf.Tensor, seed: tf.Tensor, components: tf.Tensor) -> tf.Tensor:
        """`components` are those of `principal_colours`."""
        import tensorflow as tf

        seeds = tf.unstack(tf.random.split(seed, 4))
        if self.crop is not None:
            images = _cropped(images, self.crop, seeds[0])
        if self.mirror:
            turned = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seeds[1]) < 0.5
            images = tf.where(turned, tf.reverse(images, axis=[2]), images)
        if self.warp is not None:
            images = self.warp.warp(images, seed)
        if self.colour:
            shares = self.colour * tf.random.stateless_normal([tf.shape(images)[0], 3], seeds[3])
            shift = tf.round(tf.matmul(shares, components))[:, tf.newaxis, tf.newaxis]
            images = tf.saturate_cast(tf.cast(images, tf.float32) + shift, tf.uint8)
        return images


def principal_colours(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The principal components of these pictures' colours, a row each, as long as the deviation along it."""
    colours = pictures.reshape(-1, pictures.shape[-1]).astype(np.float64)
    variances, directions = np.linalg.eigh(np.cov(colours, rowvar=False))
    return np.asarray((directions * np.sqrt(np.maximum(variances, 0))).T, np.float32)


def _cropped(images: tf.Tensor, size: tuple[int, int], seed: tf.Tensor) -> tf.Tensor:
    """A random part of each picture, whole pixels."""
    import tensorflow as tf

    height, width = size
    shape = tf.shape(images)
    room = tf.cast(shape[1:3] - [height, width] + 1, tf.float32)
    corners = tf.cast(tf.random.stateless_uniform([shape[0], 2], seed) * room, tf.int32)
    rows = corners[:, :1] + tf.range(height)
    columns = corners[:, 1:] + tf.range(width)
    return tf.gather(tf.gather(images, rows, batch_dims=1), columns, axis=2, batch_dims=1)
