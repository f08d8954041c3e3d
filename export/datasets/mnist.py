"""MNIST: 60,000 training and 10,000 test images of handwritten digits, 28x28, light on dark.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-based learning applied to document recognition,
Proceedings of the IEEE 86(11), 1998, section III.
"""

from __future__ import annotations

import hashlib
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError
from . import idx
from .dataset import Dataset, InMemoryExamples

LABELS: Final = tuple("0123456789")
SIDE: Final = 28

# The digest of the four published files.
_SHA256: Final = "b2d8f5bf39174ee5ffeefa97e42d673c35432b411bb5d1f74fbbeddae7f1690a"

_FILES: Final = (
    ("train-images-idx3-ubyte", 3),
    ("train-labels-idx1-ubyte", 1),
    ("t10k-images-idx3-ubyte", 3),
    ("t10k-labels-idx1-ubyte", 1),
)


def is_mnist(folder: Path) -> bool:
    """Return True if the folder contains at least one of the four files."""
    return any((folder / name).is_file() or (folder / f"{name}.gz").is_file() for name, _ in _FILES)


def load(folder: Path | None) -> Dataset:
    """Load MNIST, or other digits in its format, from four IDX files in `folder`; None downloads it.

    The digest covers the uncompressed content of the four files: train images, train labels, test images,
    test labels.

    Raises:
        DatasetError: a file is missing or invalid, or the download fails.
    """
    arrays = _download() if folder is None else _read(folder)
    sha256 = hashlib.sha256(b"".join(map(idx.encode, arrays))).hexdigest()
    train_images, train_labels, test_images, test_labels = arrays
    source = "the MNIST of keras.datasets" if folder is None else str(folder)
    return Dataset(
        name="MNIST" if sha256 == _SHA256 else "digits in the format of MNIST",
        labels=LABELS,
        train=_examples(train_images, train_labels, f"the training set in {source}"),
        test=_examples(test_images, test_labels, f"the test set in {source}"),
        sha256=sha256,
        published=sha256 == _SHA256,
    )


def _read(folder: Path) -> list[NDArray[np.uint8]]:
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder; expected one with the four IDX files of MNIST")
    return [idx.read(_find(folder, name), axes) for name, axes in _FILES]


def _find(folder: Path, name: str) -> Path:
    for candidate in (folder / f"{name}.gz", folder / name):
        if candidate.is_file():
            return candidate
    raise DatasetError(f"{folder} contains neither {name}.gz nor {name}, one of the four IDX files of MNIST")


def _download() -> list[NDArray[np.uint8]]:
    try:
        import keras

        with redirect_stdout(sys.stderr):  # Keras prints its progress
            (train_images, train_labels), (test_images, test_labels) = keras.datasets.mnist.load_data()
    except Exception as error:  # Keras raises Exception when a download fails
        raise DatasetError(
            "MNIST cannot be downloaded; pass --data DIR (or set CONVSERVE_DATA) with a folder "
            f"that contains the four IDX files {', '.join(f'{name}.gz' for name, _ in _FILES)} ({error})"
        ) from error
    return [train_images, train_labels, test_images, test_labels]


def _examples(images: NDArray[np.uint8], labels: NDArray[np.uint8], name: str) -> InMemoryExamples:
    if images.shape[1:] != (SIDE, SIDE):
        size = "x".join(map(str, images.shape[1:]))
        raise DatasetError(f"the images of {name} are {size}, expected {SIDE}x{SIDE}")
    if len(images) != len(labels):
        raise DatasetError(f"{name} has {len(images)} images but {len(labels)} labels")
    if len(labels) == 0:
        raise DatasetError(f"{name} is empty")
    if labels.max() >= len(LABELS):
        raise DatasetError(f"{name} has the label {labels.max()}; expected 0 to 9")
    return InMemoryExamples(images[..., np.newaxis], labels.astype(np.int64))
