"""Applies projective transformations to images."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf


def project(images: tf.Tensor, transforms: tf.Tensor, border: str) -> tf.Tensor:
    """Apply a projective transformation to each image, with bilinear interpolation.

    Args:
        images: uint8, [batch, height, width, channels].
        transforms: the eight values of a row map positions in the result to positions in the image.
        border: fills pixels outside of the image, "CONSTANT" with black or "NEAREST" with the nearest pixel.
    """
    import tensorflow as tf

    return tf.saturate_cast(
        tf.round(
            tf.raw_ops.ImageProjectiveTransformV3(
                images=tf.cast(images, tf.float32),
                transforms=transforms,
                output_shape=tf.shape(images)[1:3],
                interpolation="BILINEAR",
                fill_mode=border,
                fill_value=0.0,
            )
        ),
        tf.uint8,
    )
