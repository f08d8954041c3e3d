"""Synthetic digits in the format of MNIST, so that tests need no data set."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.datasets import idx, synthetic_images


def write_mnist(folder: Path, arrays: Mapping[str, NDArray[np.uint8]]) -> None:
    """Write IDX files, labels plain and images gzipped, to cover both formats."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        content = idx.encode(array)
        if "images" in name:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
        else:
            (folder / name).write_bytes(content)


def draw_digits(per_class: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return digits in many handwriting styles, [10 * per_class, 28, 28], and their labels."""
    random = np.random.default_rng(seed)
    labels = np.tile(np.arange(10, dtype=np.uint8), per_class)
    styles = random.uniform((1.6, -10, -8, 0.85), (3.2, 20, 8, 1.05), (len(labels), 4))
    images = [
        synthetic_images.digit(label, synthetic_images.Handwriting(*style))
        for label, style in zip(labels, styles.tolist(), strict=True)
    ]
    return np.stack(images)[..., 0], labels
