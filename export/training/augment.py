"""Random augmentation of training images.

Rotation, scale, shear and translation as in P. Simard, D. Steinkraus, J. Platt, Best practices for
convolutional neural networks applied to visual document analysis, ICDAR 2003, section 2, without its
elastic deformation. Crops, mirror images and colours as in A. Krizhevsky, I. Sutskever, G. Hinton, ImageNet
classification with deep convolutional neural networks, NIPS 2012, section 4.1.

All functions map uint8, [batch, height, width, channels], to uint8. The same `seed`, two integers, gives the
same result.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import pi
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from .faults import Faults
from .projection import project

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Affine:
    """The ranges of a random affine transformation; each value is drawn uniformly from -range to range.

    Attributes:
        rotation: in degrees.
        scale: as a fraction of the size, for each axis independently (0.1: from 90 to 110 %).
        shear: in degrees.
        translation: in pixels.
        border: fills pixels outside of the image with black or with the nearest pixel.
    """

    rotation: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    translation: float = 0.0
    border: Literal["constant", "nearest"] = "constant"

    def warp(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Transform each image about its centre, with different random parameters."""
        import tensorflow as tf

        size = tf.cast(tf.shape(images)[1:3], tf.float32)
        return project(images, self._transforms(tf.shape(images)[0], size, seed), self.border.upper())

    def _transforms(self, count: tf.Tensor, size: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Map positions in the result to positions in the image.

        Each row is a0 a1 a2 b0 b1 b2 0 0, with x' = a0 x + a1 y + a2 and y' = b0 x + b1 y + b2.
        """
        import tensorflow as tf

        draw = tf.random.stateless_uniform([6, count], seed, minval=-1.0, maxval=1.0)
        angle = draw[0] * (self.rotation * pi / 180)
        shear = tf.tan(draw[1] * (self.shear * pi / 180))
        scale_x, scale_y = 1 + draw[2] * self.scale, 1 + draw[3] * self.scale
        # rotation, then shear along x, then scale
        a0, a1 = tf.cos(angle) / scale_x, (tf.cos(angle) * shear - tf.sin(angle)) / scale_y
        b0, b1 = tf.sin(angle) / scale_x, (tf.sin(angle) * shear + tf.cos(angle)) / scale_y
        # the centre is fixed except for the translation
        y, x = (size[0] - 1) / 2, (size[1] - 1) / 2
        a2 = x - a0 * x - a1 * y + draw[4] * self.translation
        b2 = y - b0 * x - b1 * y + draw[5] * self.translation
        zero = tf.zeros_like(a0)
        return tf.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1)


@dataclass(frozen=True)
class Augmentation:
    """The augmentation of a training image, in this order.

    Attributes:
        crop: height and width of a random crop.
        mirror: mirrors half of the images horizontally.
        warp: a random affine transformation.
        colour: the standard deviation of the random multiple of each principal colour component that is
            added.
        faults: faults of cameras and detectors.
    """

    crop: tuple[int, int] | None = None
    mirror: bool = False
    warp: Affine | None = None
    colour: float = 0.0
    faults: Faults | None = None

    def apply(self, images: tf.Tensor, seed: tf.Tensor, components: tf.Tensor) -> tf.Tensor:
        """Augment a batch.

        Args:
            images: the images.
            seed: two integers.
            components: the result of `principal_colours`.
        """
        import tensorflow as tf

        seeds = tf.unstack(tf.random.split(seed, 4))
        if self.crop is not None:
            images = _random_crop(images, self.crop, seeds[0])
        if self.mirror:
            mirrored = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seeds[1]) < 0.5
            images = tf.where(mirrored, tf.reverse(images, axis=[2]), images)
        if self.warp is not None:
            images = self.warp.warp(images, seed)
        if self.colour:
            multiples = self.colour * tf.random.stateless_normal([tf.shape(images)[0], 3], seeds[3])
            shift = tf.round(tf.matmul(multiples, components))[:, tf.newaxis, tf.newaxis]
            images = tf.saturate_cast(tf.cast(images, tf.float32) + shift, tf.uint8)
        if self.faults is not None:
            images = self.faults.strike(images, tf.random.split(seed, 5)[4])
        return images

    def __repr__(self) -> str:
        """Return the `repr` of a data class, without `faults` if there are none.

        It is part of the fingerprint of checkpoints, and those of a training without faults stay valid.
        """
        shown = [field.name for field in fields(self) if field.name != "faults" or self.faults is not None]
        return f"Augmentation({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


def principal_colours(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the principal components of the colours, one per row, scaled by their standard deviation."""
    colours = images.reshape(-1, images.shape[-1]).astype(np.float64)
    variances, directions = np.linalg.eigh(np.cov(colours, rowvar=False))
    return np.asarray((directions * np.sqrt(np.maximum(variances, 0))).T, np.float32)


def _random_crop(images: tf.Tensor, size: tuple[int, int], seed: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    height, width = size
    shape = tf.shape(images)
    positions = tf.cast(shape[1:3] - [height, width] + 1, tf.float32)
    corners = tf.cast(tf.random.stateless_uniform([shape[0], 2], seed) * positions, tf.int32)
    rows = corners[:, :1] + tf.range(height)
    columns = corners[:, 1:] + tf.range(width)
    return tf.gather(tf.gather(images, rows, batch_dims=1), columns, axis=2, batch_dims=1)
