"""Labelled pictures in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Split:
    """Pictures (uint8, [examples, height, width, channels]) and the index of each one's class (int64)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.intp]) -> Split:
        """These examples, in this order."""
        return Split(self.images[indices], self.labels[indices])

    def limit(self, per_class: int) -> Split:
        """The first `per_class` examples of each class, in their order."""
        firsts = [np.flatnonzero(self.labels == label)[:per_class] for label in np.unique(self.labels)]
        return self.take(np.sort(np.concatenate(firsts)))

    def hold_out(self, fraction: float, seed: int) -> tuple[Split, Split]:
        """Set a fraction aside, drawn by the seed, at least one example: (the rest, what was set aside)."""
        order = np.random.default_rng(seed).permutation(len(self))
        held = max(1, round(len(self) * fraction))
        return self.take(np.sort(order[held:])), self.take(np.sort(order[:held]))


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set as it was found: `labels` names the classes in order, `sha256` tells its content."""

    name: str
    labels: tuple[str, ...]
    train: Split
    test: Split
    sha256: str
