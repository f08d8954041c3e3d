"""Small random affine warps, so that a network sees no training picture twice.

Rotation, scale, shear and translation as in P. Simard, D. Steinkraus, J. Platt, Best practices for
convolutional neural networks applied to visual document analysis, ICDAR 2003, section 2, without its
elastic part.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Affine:
    """How far a picture may be warped either way; each value is drawn evenly from its range.

    `rotation` and `shear` are in degrees, `scale` is a part of the size (0.1: from 90 to 110 %, each axis on
    its own), `translation` is in pixels.
    """

    rotation: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    translation: float = 0.0

    def warp(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Warp each of these pictures about its middle, each in its own way.

        Takes and gives uint8 of [batch, height, width, channels]. The same `seed` (two integers) gives the
        same warps; what comes in at the border is black.
        """
        import tensorflow as tf

        size = tf.shape(images)[1:3]
        return tf.saturate_cast(
            tf.round(
                tf.raw_ops.ImageProjectiveTransformV3(
                    images=tf.cast(images, tf.float32),
                    transforms=self._transforms(tf.shape(images)[0], tf.cast(size, tf.float32), seed),
                    output_shape=size,
                    interpolation="BILINEAR",
                    fill_mode="CONSTANT",
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
