"""MNIST: 60,000 and 10,000 handwritten digits, 28x28, light on dark.

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
from .dataset import Dataset, Split

LABELS: Final = tuple("0123456789")
SIDE: Final = 28

# Of the four files as their authors published them.
_SHA256: Final = "b2d8f5bf39174ee5ffeefa97e42d673c35432b411bb5d1f74fbbeddae7f1690a"

_FILES: Final = (
    ("train-images-idx3-ubyte", 3),
    ("train-labels-idx1-ubyte", 1),
    ("t10k-images-idx3-ubyte", 3),
    ("t10k-labels-idx1-ubyte", 1),
)


def load(folder: Path | None) -> Dataset:
    """MNIST, or other digits in its form, from the four IDX files in `folder`, or else as Keras downloads it.

    The digest is that of the four files' uncompressed contents, one after the other: train images, train
    labels, test images, test labels. It does not depend on where they come from.

    Raises:
        DatasetError: a file is missing or not what it should be, or there is no network.
    """
    arrays = _download() if folder is None else _read(folder)
    sha256 = hashlib.sha256(b"".join(map(idx.encode, arrays))).hexdigest()
    train_images, train_labels, test_images, test_labels = arrays
    where = "the MNIST of keras.datasets" if folder is None else str(folder)
    return Dataset(
        name="MNIST" if sha256 == _SHA256 else "digits in the form of MNIST",
        labels=LABELS,
        train=_split(train_images, train_labels, f"the training set in {where}"),
        test=_split(test_images, test_labels, f"the test set in {where}"),
        sha256=sha256,
    )


def _read(folder: Path) -> list[NDArray[np.uint8]]:
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder: --data takes the one with the four IDX files of MNIST")
    return [idx.read(_find(folder, name), axes) for name, axes in _FILES]


def _find(folder: Path, name: str) -> Path:
    for candidate in (folder / f"{name}.gz", folder / name):
        if candidate.is_file():
            return candidate
    raise DatasetError(f"{folder} holds neither {name}.gz nor {name}, one of the four IDX files of MNIST")


def _download() -> list[NDArray[np.uint8]]:
    import keras

    try:
        with redirect_stdout(sys.stderr):  # where Keras tells of its progress
            (train_images, train_labels), (test_images, test_labels) = keras.datasets.mnist.load_data()
    except Exception as error:  # Keras raises bare Exception where a download fails
        raise DatasetError(
            "MNIST could not be downloaded; pass --data DIR (or set CONVSERVE_DATA) with a folder "
            f"that holds the four IDX files {', '.join(f'{name}.gz' for name, _ in _FILES)} ({error})"
        ) from error
    return [train_images, train_labels, test_images, test_labels]


def _split(images: NDArray[np.uint8], labels: NDArray[np.uint8], where: str) -> Split:
    if images.shape[1:] != (SIDE, SIDE):
        size = "x".join(map(str, images.shape[1:]))
        raise DatasetError(f"the pictures of {where} are {size}, not {SIDE}x{SIDE}")
    if len(images) != len(labels):
        raise DatasetError(f"{where} has {len(images)} pictures and {len(labels)} labels: not the same set")
    if len(labels) == 0:
        raise DatasetError(f"{where} is empty")
    if labels.max() >= len(LABELS):
        raise DatasetError(f"{where} has the label {labels.max()}: digits go from 0 to 9")
    return Split(images[..., np.newaxis], labels.astype(np.int64))
