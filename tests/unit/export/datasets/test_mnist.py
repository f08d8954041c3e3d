from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from export.datasets import idx, mnist
from export.datasets.dataset import InMemoryExamples
from export.errors import DatasetError
from tests.support.images.drawn_mnist import write_mnist

Arrays = dict[str, NDArray[np.uint8]]


def test_four_files_are_loaded(digits: Path, mnist_arrays: Arrays) -> None:
    dataset = mnist.load(digits)
    assert dataset.labels == tuple("0123456789")
    for part, count in ((dataset.train, 400), (dataset.test, 100)):
        assert isinstance(part, InMemoryExamples)
        assert part.images.shape == (count, 28, 28, 1)
        assert part.images.dtype == np.uint8
    assert dataset.train.labels.dtype == np.int64
    np.testing.assert_array_equal(dataset.test.labels, mnist_arrays["t10k-labels-idx1-ubyte"])


def test_digest_covers_the_uncompressed_files(digits: Path, mnist_arrays: Arrays) -> None:
    content = b"".join(idx.encode(array) for array in mnist_arrays.values())
    assert mnist.load(digits).sha256 == hashlib.sha256(content).hexdigest()


def test_other_digits_are_not_named_mnist(digits: Path) -> None:
    assert mnist.load(digits).name == "digits in the format of MNIST"


def test_real_data_set_is_recognized_by_its_digest(real_data: Path) -> None:
    dataset = mnist.load(real_data / "mnist")
    assert dataset.name == "MNIST"
    assert (len(dataset.train), len(dataset.test)) == (60_000, 10_000)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_missing_file_is_named(name: str, tmp_path: Path, mnist_arrays: Arrays) -> None:
    write_mnist(tmp_path, {file: array for file, array in mnist_arrays.items() if file != name})
    with pytest.raises(DatasetError, match=f"contains neither {name}.gz nor {name}"):
        mnist.load(tmp_path)


def test_empty_or_missing_folder_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=f"{tmp_path} contains neither train-images-idx3-ubyte.gz"):
        mnist.load(tmp_path)
    with pytest.raises(DatasetError, match="nowhere is not a folder; expected one"):
        mnist.load(tmp_path / "nowhere")


Change = Callable[[Arrays], Arrays]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda arrays: {"train-labels-idx1-ubyte": arrays["train-labels-idx1-ubyte"][:-1]},
            "the training set in .* has 400 images but 399 labels",
        ),
        (
            lambda arrays: {"t10k-images-idx3-ubyte": arrays["t10k-images-idx3-ubyte"][:, :27]},
            "the images of the test set in .* are 27x28, expected 28x28",
        ),
        (
            lambda arrays: {"t10k-labels-idx1-ubyte": arrays["t10k-labels-idx1-ubyte"] + 1},
            "the test set in .* has the label 10; expected 0 to 9",
        ),
        (
            lambda arrays: {name: array[:0] for name, array in arrays.items()},
            "the training set in .* is empty",
        ),
    ],
)
def test_inconsistent_files_are_rejected(
    change: Change, sentence: str, tmp_path: Path, mnist_arrays: Arrays
) -> None:
    write_mnist(tmp_path, mnist_arrays | change(mnist_arrays))
    with pytest.raises(DatasetError, match=sentence):
        mnist.load(tmp_path)
