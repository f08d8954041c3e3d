"""Random faults of cameras and detectors for training images.

Images are shifted, scaled, covered, blurred, noisy and compressed. They are covered as in T. DeVries, G.
Taylor, Improved regularization of convolutional neural networks with cutout, 2017, with rectangles of random
size.

All functions map uint8, [batch, height, width, channels], to uint8. The same `seed`, two integers, gives the
same result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from .projection import project

if TYPE_CHECKING:
    import tensorflow as tf

_BEST_QUALITY: Final = 95


@dataclass(frozen=True)
class Faults:
    """Faults of cameras and detectors; each strikes an image independently of the others.

    Attributes:
        shift: the largest shift along each axis, as a fraction of the side; the border is repeated.
        scale: the largest change of the size of the content, as a fraction: 0.25 is from 75 to 125 %.
        occlusion: the largest area that a grey or coloured rectangle covers, as a fraction.
        blur: the largest deviation of a Gaussian blur, as a fraction of the side.
        quality: the lowest quality of JPEG compression, up to 95; None without compression.
        size: the smallest size in which an image is compressed, as a fraction of the side; it is resized
            back. A small image that is enlarged has larger blocks.
        noise: the largest deviation of Gaussian noise, of 255.
        probability: the probability of each fault.
    """

    shift: float = 0.0
    scale: float = 0.0
    occlusion: float = 0.0
    blur: float = 0.0
    quality: int | None = None
    size: float = 1.0
    noise: float = 0.0
    probability: float = 0.5

    def strike(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Damage each image in its own way, in the order of a camera and a detector."""
        import tensorflow as tf

        seeds = tf.unstack(tf.random.split(seed, 6))
        if self.shift or self.scale:
            images = self._moved(images, seeds[0])
        if self.occlusion:
            images = self._occluded(images, seeds[1])
        if self.blur:
            images = self._blurred(images, seeds[2])
        if self.noise:
            images = self._noisy(images, seeds[3])
        if self.quality is not None:
            images = self._compressed(images, seeds[4])
        return images

    def _chosen(self, count: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draw 1 for an image that the fault strikes, and 0 for others."""
        import tensorflow as tf

        return tf.cast(tf.random.stateless_uniform([count], seed) < self.probability, tf.float32)

    def _moved(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        count, (first, second, third) = tf.shape(images)[0], tf.unstack(tf.random.split(seed, 3))
        size = tf.cast(tf.shape(images)[1:3], tf.float32)
        draw = tf.random.stateless_uniform([3, count], first, minval=-1.0, maxval=1.0)
        factor = 1 / (1 + draw[0] * self.scale * self._chosen(count, second))
        chosen = self._chosen(count, third) * self.shift
        y, x = (size[0] - 1) / 2, (size[1] - 1) / 2
        a2 = x - factor * x + draw[1] * chosen * size[1]
        b2 = y - factor * y + draw[2] * chosen * size[0]
        zero = tf.zeros_like(factor)
        transforms = tf.stack([factor, zero, a2, zero, factor, b2, zero, zero], axis=1)
        return project(images, transforms, "NEAREST")

    def _occluded(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        shape, (first, second, third) = tf.shape(images), tf.unstack(tf.random.split(seed, 3))
        draw = tf.random.stateless_uniform([4, shape[0]], first)
        area = draw[0] * self.occlusion * self._chosen(shape[0], second)
        aspect = tf.exp((draw[1] - 0.5) * 2 * tf.math.log(2.0))  # height to width, from 1/2 to 2
        inside = tf.ones([shape[0], shape[1], shape[2]], tf.bool)
        for axis, share in ((1, tf.sqrt(area * aspect)), (2, tf.sqrt(area / aspect))):
            length = tf.cast(shape[axis], tf.float32)
            side = tf.minimum(share, 1.0) * length
            start = draw[axis + 1] * (length - side)
            places = tf.cast(tf.range(shape[axis]), tf.float32)[tf.newaxis] + 0.5
            along = (places >= start[:, tf.newaxis]) & (places < (start + side)[:, tf.newaxis])
            inside &= along[:, :, tf.newaxis] if axis == 1 else along[:, tf.newaxis, :]
        colour = tf.random.stateless_uniform([shape[0], 1, 1, shape[3]], third, maxval=256, dtype=tf.int32)
        return tf.where(inside[..., tf.newaxis], tf.cast(colour, tf.uint8), images)

    def _blurred(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        count, (first, second) = tf.shape(images)[0], tf.unstack(tf.random.split(seed, 2))
        longer = max(images.shape[1:3])
        deviation = (
            tf.random.stateless_uniform([count], first) * self._chosen(count, second) * self.blur * longer
        )
        reach = int(np.ceil(2.5 * self.blur * longer))
        distances = tf.range(-reach, reach + 1, dtype=tf.float32)
        weights = tf.exp(-tf.square(distances) / (2 * tf.square(deviation[:, tf.newaxis]) + 1e-6))
        weights /= tf.reduce_sum(weights, axis=1, keepdims=True)
        values = tf.cast(images, tf.float32)
        for axis in (1, 2):
            values = _weighted_neighbours(values, weights, reach, axis)
        return tf.saturate_cast(tf.round(values), tf.uint8)

    def _noisy(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        count, (first, second, third) = tf.shape(images)[0], tf.unstack(tf.random.split(seed, 3))
        deviation = tf.random.stateless_uniform([count], first) * self._chosen(count, second) * self.noise
        noise = (
            tf.random.stateless_normal(tf.shape(images), third)
            * deviation[:, tf.newaxis, tf.newaxis, tf.newaxis]
        )
        return tf.saturate_cast(tf.round(tf.cast(images, tf.float32) + noise), tf.uint8)

    def _compressed(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        assert self.quality is not None
        count, (first, second, third) = tf.shape(images)[0], tf.unstack(tf.random.split(seed, 3))
        quality = tf.random.stateless_uniform([count], first, self.quality, _BEST_QUALITY + 1, dtype=tf.int32)
        chosen = self._chosen(count, second) > 0
        sizes = tf.random.stateless_uniform([count], third, self.size, 1.0)
        height, width = images.shape[1:3]

        def compress(image: tf.Tensor, quality: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
            if self.size == 1:
                return tf.image.adjust_jpeg_quality(image, quality)
            sides = tf.cast(tf.round(share * [height, width]), tf.int32)
            small = _resized(image, tf.maximum(sides, 1), antialias=True)
            return _resized(tf.image.adjust_jpeg_quality(small, quality), [height, width])

        def choose(image: tf.Tensor, quality: tf.Tensor, share: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
            return tf.cond(chosen, lambda: compress(image, quality, share), lambda: image)

        shape = images.shape
        compressed = tf.map_fn(
            lambda each: choose(*each), (images, quality, sizes, chosen), fn_output_signature=tf.uint8
        )
        return tf.ensure_shape(compressed, shape)


def _resized(image: tf.Tensor, size: tf.Tensor, *, antialias: bool = False) -> tf.Tensor:
    import tensorflow as tf

    return tf.saturate_cast(tf.round(tf.image.resize(image, size, antialias=antialias)), tf.uint8)


def _weighted_neighbours(values: tf.Tensor, weights: tf.Tensor, reach: int, axis: int) -> tf.Tensor:
    """Average pixels along an axis, with weights, [images, 2 * reach + 1]; the border is repeated."""
    import tensorflow as tf

    length = values.shape[axis]
    total = tf.zeros_like(values)
    for offset in range(-reach, reach + 1):
        places = tf.clip_by_value(tf.range(length) + offset, 0, length - 1)
        moved = tf.gather(values, places, axis=axis)
        total += moved * weights[:, offset + reach, tf.newaxis, tf.newaxis, tf.newaxis]
    return total
