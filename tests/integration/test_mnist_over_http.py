"""The shipped convnet over HTTP, on the complete test set of MNIST."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.support.http.forms import classify
from tests.support.models.shipped import highest_version
from tests.support.server.server_process import ServerProcess


@pytest.fixture(scope="module")
def convnet() -> Path:
    """The folder of the convnet's highest version."""
    return highest_version("convnet")


@pytest.fixture(scope="module")
def digits(real_data: Path) -> NDArray[np.uint8]:
    """The 10,000 test images of MNIST, light on dark."""
    return idx(real_data / "mnist" / "t10k-images-idx3-ubyte.gz", offset=16).reshape(-1, 28, 28)


@pytest.fixture(scope="module")
def truth(real_data: Path) -> NDArray[np.uint8]:
    return idx(real_data / "mnist" / "t10k-labels-idx1-ubyte.gz", offset=8)


@pytest.fixture(scope="module")
def predicted(convnet: Path, shipped: ServerProcess, digits: NDArray[np.uint8]) -> list[int]:
    """The predicted label of each digit."""
    return classify(shipped, "convnet", encoded(digits))


def idx(path: Path, offset: int) -> NDArray[np.uint8]:
    if not path.exists():
        pytest.skip(f"{path} is missing")
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=offset)


def png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def encoded(digits: NDArray[np.uint8]) -> list[bytes]:
    return [png(digit) for digit in digits]


def test_accuracy_equals_that_of_the_manifest(
    convnet: Path, predicted: list[int], truth: NDArray[np.uint8]
) -> None:
    correct = int(np.sum(np.array(predicted) == truth))
    expected = json.loads((convnet / "manifest.json").read_text())["evaluation"]["accuracy"]
    assert correct >= 0.993 * len(truth)
    assert abs(correct - expected * len(truth)) <= 1


def test_inverted_digits_have_the_same_labels(
    shipped: ServerProcess, predicted: list[int], digits: NDArray[np.uint8]
) -> None:
    assert classify(shipped, "convnet", encoded(255 - digits)) == predicted
