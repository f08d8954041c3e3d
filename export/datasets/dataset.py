"""Labelled pictures, in memory or read from files when they are wanted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError
from .image_files import Faults, Location, Size, decode

# As many bytes of pixels as are decoded once and kept; beyond, pictures are read again in every epoch.
IN_MEMORY: Final = 2**29

_CHUNK = 256

Pixels = NDArray[np.uint8]
Indices = NDArray[np.intp]


class Examples(ABC):
    """Pictures of one size, and the index of each one's class.

    Pictures of one group, where there are groups, are near copies of each other, such as the frames of one
    film: what is held out for validation must be whole groups, or it tells nothing.
    """

    labels: NDArray[np.int64]
    groups: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""

    @abstractmethod
    def read(self, indices: Indices) -> tuple[Pixels, Indices]:
        """The pixels of these examples, [examples, height, width, channels], and which of `indices` they are:
        those that cannot be read are left out.

        Raises:
            DatasetError: too many cannot be read.
        """

    @abstractmethod
    def take(self, indices: Indices) -> Self:
        """These examples, in this order."""

    @abstractmethod
    def sized(self, size: Size) -> Examples:
        """The same pictures in another size, where they can be had."""

    def limit(self, per_class: int) -> Self:
        """At most `per_class` examples of each class, evenly spread over it, in their order."""
        kept = []
        for label in np.unique(self.labels):
            (members,) = np.nonzero(self.labels == label)
            count = min(per_class, len(members))
            kept.append(members[np.arange(count) * len(members) // count])
        return self.take(np.sort(np.concatenate(kept)))

    def hold_out(self, fraction: float, seed: int) -> tuple[Self, Self]:
        """Set a fraction aside, drawn by the seed, at least one: (the rest, what was set aside).

        Where there are groups, a fraction of the groups.
        """
        units = (
            np.arange(len(self)) if self.groups is None else np.unique(self.groups, return_inverse=True)[1]
        )
        order = np.random.default_rng(seed).permutation(units.max() + 1)
        held = np.isin(units, order[: max(1, round(len(order) * fraction))])
        return self.take(np.flatnonzero(~held)), self.take(np.flatnonzero(held))

    def batches(self, size: int) -> Sequence[Indices]:
        """All indices in order, `size` at a time."""
        return [np.arange(start, min(start + size, len(self))) for start in range(0, len(self), size)]


@dataclass(frozen=True, eq=False)
class Split(Examples):
    """Examples in memory: `images` is uint8, [examples, height, width, channels], `labels` int64."""

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
                f"the pictures are {'x'.join(map(str, self.shape))}, "
                f"not {size.height}x{size.width}x{size.channels}"
            )
        return self


@dataclass(frozen=True, eq=False)
class Streamed(Examples):
    """Examples in files, decoded to `size` whenever they are read. `faults` notes those that cannot be."""

    locations: Sequence[Location]
    labels: NDArray[np.int64]
    size: Size
    faults: Faults
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
                self.faults.note(location.name, str(error))
        stack = np.stack(pixels) if pixels else np.zeros((0, *self.shape), np.uint8)
        return stack, np.array(kept, np.intp)

    def take(self, indices: Indices) -> Self:
        locations = [self.locations[int(index)] for index in indices]
        groups = None if self.groups is None else self.groups[indices]
        return replace(self, locations=locations, labels=self.labels[indices], groups=groups)

    def sized(self, size: Size) -> Examples:
        return replace(self, size=size)


def settled(examples: Examples) -> Examples:
    """These examples decoded once and kept in memory, if they are few and small enough for that.

    Raises:
        DatasetError: too many cannot be read.
    """
    if isinstance(examples, Split) or len(examples) * int(np.prod(examples.shape)) > IN_MEMORY:
        return examples
    images = np.empty((len(examples), *examples.shape), np.uint8)
    kept: list[Indices] = []
    filled = 0
    for indices in examples.batches(_CHUNK):
        pixels, found = examples.read(indices)
        images[filled : filled + len(found)] = pixels
        filled += len(found)
        kept.append(found)
    which = np.concatenate(kept) if kept else np.zeros(0, np.intp)
    groups = None if examples.groups is None else examples.groups[which]
    return Split(images[:filled], examples.labels[which], groups)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set as it was found: `labels` names the classes in order, `sha256` tells its content.

    `photographs` says that pictures may be mirrored and keep their shape; signs and digits are not and do
    not. `faults` are the pictures that could not be read so far.
    """

    name: str
    labels: tuple[str, ...]
    train: Examples
    test: Examples
    sha256: str
    photographs: bool = False
    faults: Faults | None = None
