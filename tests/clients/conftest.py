"""Server processes and images for the tests of other servers' clients."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from export.repository.manifest import InputSpec
from tests.support.clients.pixel_images import Pixels
from tests.support.models.gray_classifier import publish_shades
from tests.support.models.linear_model import HEIGHT, WIDTH, Linear
from tests.support.server.server_process import ServerProcess

CONVNET_SIDE = 28
MNIST_HEADER = 16


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Serves `shades` (uint8, NHWC) and `linear` (float32, NCHW, RGB)."""
    models = tmp_path_factory.mktemp("models")
    publish_shades(models)
    spec = InputSpec("pixels", "float32", "NCHW", HEIGHT, WIDTH, 3, "stretch", scale=1 / 255)
    Linear(spec, "probabilities").publish(models)
    with ServerProcess(models, "--grpc-port", "0") as server:
        yield server
        assert server.stderr.text == ""


@pytest.fixture(scope="session")
def shipped() -> Iterator[ServerProcess]:
    """Serves the project's published models."""
    with ServerProcess(None, "--grpc-port", "0") as server:
        yield server
        assert server.stderr.text == ""


@pytest.fixture(scope="session")
def digits() -> Sequence[Pixels]:
    """Drawn digits, light on dark, of the size of the convnet's input."""
    return [_drawn(str(digit)) for digit in range(10)]


@pytest.fixture(scope="session")
def mnist(real_data: Path) -> Sequence[Pixels]:
    """The first test images of MNIST."""
    path = real_data / "mnist" / "t10k-images-idx3-ubyte.gz"
    if not path.exists():
        pytest.skip(f"{path} is missing")
    with gzip.open(path) as file:
        data = file.read(MNIST_HEADER + 16 * CONVNET_SIDE**2)
    return list(np.frombuffer(data, np.uint8, offset=MNIST_HEADER).reshape(-1, CONVNET_SIDE, CONVNET_SIDE))


def _drawn(text: str) -> Pixels:
    image = Image.new("L", (CONVNET_SIDE, CONVNET_SIDE))
    ImageDraw.Draw(image).text((8, 2), text, fill=255, font_size=20)
    return np.array(image)
