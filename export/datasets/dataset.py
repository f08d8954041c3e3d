"""Labelled images, in memory or in files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError
from .image_files import ImageErrors, Location, Size, decode

# Larger sets of images are read again in every epoch.
MAX_CACHED_BYTES: Final = 2**29

HELD_OUT: Final = "held out"

_CHUNK = 256

Pixels = NDArray[np.uint8]
Indices = NDArray[np.intp]


class Examples(ABC):
    """Images of one size with labels.

    Attributes:
        labels: the index of the class of each image, [images].
        groups: the group of each image, [images]; None without groups. Images of a group, such as the frames
            of a video, are near duplicates, so validation holds out whole groups.
    """

    labels: NDArray[np.int64]
    groups: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of each image."""

    @abstractmethod
    def read(self, indices: Indices) -> tuple[Pixels, Indices]:
        """Read the pixels of some examples.

        Returns:
            The pixels, uint8 [examples, height, width, channels], and the indices that could be read.

        Raises:
            DatasetError: too many images cannot be read.
        """

    @abstractmethod
    def take(self, indices: Indices) -> Self:
        """Return the examples at these indices, in this order."""

    @abstractmethod
    def sized(self, size: Size) -> Examples:
        """Return the same images in another size.

        Raises:
            DatasetError: images in memory have another size.
        """

    def limit(self, per_class: int) -> Self:
        """Return at most `per_class` examples of each class, evenly spaced, in their order."""
        kept = []
        for label in np.unique(self.labels):
            (members,) = np.nonzero(self.labels == label)
            count = min(per_class, len(members))
            kept.append(members[np.arange(count) * len(members) // count])
        return self.take(np.sort(np.concatenate(kept)))

    def hold_out(self, fraction: float, seed: int) -> tuple[Self, Self]:
        """Split off a random fraction of the examples or, with groups, of the groups; at least one.

        Of each class at least one example or group remains.

        Returns:
            The remaining and the held-out examples.

        Raises:
            DatasetError: each example is the only one of its class.
        """
        groups = np.arange(len(self)) if self.groups is None else self.groups
        units = np.unique(groups, return_inverse=True)[1]
        order = np.random.default_rng(seed).permutation(units.max() + 1)
        chosen = self._choose(units, order, max(1, round(len(order) * fraction)))
        if not chosen:
            raise DatasetError(f"{len(self):,} images are too few to hold some of them out; add images")
        held = np.isin(units, chosen)
        return self.take(np.flatnonzero(~held)), self.take(np.flatnonzero(held))

    def _choose(self, units: Indices, order: Indices, count: int) -> list[int]:
        """Return the first `count` units in this order that leave an example of each of their classes."""
        members = np.split(np.argsort(units, kind="stable"), np.cumsum(np.bincount(units))[:-1])
        left = np.bincount(self.labels)
        chosen: list[int] = []
        for unit in order:
            classes, counts = np.unique(self.labels[members[unit]], return_counts=True)
            if len(chosen) < count and (left[classes] > counts).all():
                left[classes] -= counts
                chosen.append(int(unit))
        return chosen

    def batches(self, size: int) -> Sequence[Indices]:
        """Return all indices in order, in batches of `size`."""
        return [np.arange(start, min(start + size, len(self))) for start in range(0, len(self), size)]


@dataclass(frozen=True, eq=False)
class InMemoryExamples(Examples):
    """Examples in memory; `images` is uint8, [examples, height, width, channels]."""

    images: Pixels
    labels: NDArray[np.int64]
    groups: NDArray[np.int64] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    def read(self, indices: Indices) -> tuple[Pixels, Indices]:
        return self.images[indices], indices

    def take(self, indices: Indices) -> Self:
        groups = None if self.groups is None else self.groups[indices]
        return replace(self, images=self.images[indices], labels=self.labels[indices], groups=groups)

    def sized(self, size: Size) -> Examples:
        if self.shape != (size.height, size.width, size.channels):
            raise DatasetError(
                f"the images are {'x'.join(map(str, self.shape))}, "
                f"expected {size.height}x{size.width}x{size.channels}"
            )
        return self


@dataclass(frozen=True, eq=False)
class FileExamples(Examples):
    """Examples in files, decoded to `size` on every read; `image_errors` records unreadable files."""

    locations: Sequence[Location]
    labels: NDArray[np.int64]
    size: Size
    image_errors: ImageErrors
    groups: NDArray[np.int64] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.size.height, self.size.width, self.size.channels

    def read(self, indices: Indices) -> tuple[Pixels, Indices]:
        pixels, kept = [], []
        for index in indices:
            location = self.locations[int(index)]
            try:
                pixels.append(decode(location.read(), self.size))
                kept.append(index)
            except DatasetError as error:
                self.image_errors.record(location.name, str(error))
        stack = np.stack(pixels) if pixels else np.zeros((0, *self.shape), np.uint8)
        return stack, np.array(kept, np.intp)

    def take(self, indices: Indices) -> Self:
        locations = [self.locations[int(index)] for index in indices]
        groups = None if self.groups is None else self.groups[indices]
        return replace(self, locations=locations, labels=self.labels[indices], groups=groups)

    def sized(self, size: Size) -> Examples:
        return replace(self, size=size)


def cache_in_memory(examples: Examples) -> Examples:
    """Decode the examples into memory, unless they need more than `MAX_CACHED_BYTES`.

    Raises:
        DatasetError: too many images cannot be read.
    """
    if (
        isinstance(examples, InMemoryExamples)
        or len(examples) * int(np.prod(examples.shape)) > MAX_CACHED_BYTES
    ):
        return examples
    images = np.empty((len(examples), *examples.shape), np.uint8)
    kept: list[Indices] = []
    filled = 0
    for indices in examples.batches(_CHUNK):
        pixels, found = examples.read(indices)
        images[filled : filled + len(found)] = pixels
        filled += len(found)
        kept.append(found)
    readable = np.concatenate(kept) if kept else np.zeros(0, np.intp)
    groups = None if examples.groups is None else examples.groups[readable]
    return InMemoryExamples(images[:filled], examples.labels[readable], groups)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set.

    Attributes:
        name: its name.
        labels: the names of the classes, in order.
        train, test: the training and the test set.
        sha256: identifies its content, in hexadecimal.
        photographs: True if images may be mirrored and cropped, unlike signs and digits.
        image_errors: the images that could not be read so far.
        published: True for the data set of that name as it was published, False for any other in its format.
        validation: the images to validate on; None to hold out a part of the training set.
        validation_source, test_source: the origin of these images in a word, or None.
    """

    name: str
    labels: tuple[str, ...]
    train: Examples
    test: Examples
    sha256: str
    photographs: bool = False
    image_errors: ImageErrors | None = None
    published: bool = False
    validation: Examples | None = None
    validation_source: str = HELD_OUT
    test_source: str | None = None
