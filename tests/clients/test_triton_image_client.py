"""Repeats what Triton's image client does: it reads a model's metadata and configuration.

It checks that it supports the model, prepares images as the configuration says, requests
classification, and splits each element of the response as `value:index:label`.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.support.clients.pixel_images import Pixels, png
from tests.support.http.native_response import ranked
from tests.support.models.gray_classifier import LABELS, SIDE, image, level
from tests.support.models.linear_model import HEIGHT, WIDTH
from tests.support.server.server_process import ServerProcess

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its dependencies warn on import
    import tritonclient.http as triton  # type: ignore[import-untyped]


@dataclass(frozen=True)
class Ranked:
    value: float
    index: int
    label: str


@dataclass(frozen=True)
class ImageModel:
    """The image client's view of metadata and configuration."""

    name: str
    input: str
    output: str
    channels: int
    height: int
    width: int
    channels_first: bool
    datatype: str
    max_batch_size: int

    @classmethod
    def of(cls, metadata: dict[str, Any], config: dict[str, Any]) -> Self:
        [entry], [output] = metadata["inputs"], metadata["outputs"]
        [configured] = config["input"]
        assert output["datatype"] == "FP32"
        batched = config["max_batch_size"] > 0
        # Without the batch axis, the output is a vector and the input an image.
        assert len([size for size in output["shape"][batched:] if size != 1]) == 1
        assert len(entry["shape"]) == 3 + batched
        shape = entry["shape"][batched:]
        assert configured["dims"] == shape
        assert configured["format"] in ("FORMAT_NCHW", "FORMAT_NHWC")
        first = configured["format"] == "FORMAT_NCHW"
        channels, height, width = shape if first else (shape[2], *shape[:2])
        return cls(
            name=config["name"],
            input=entry["name"],
            output=output["name"],
            channels=channels,
            height=height,
            width=width,
            channels_first=first,
            datatype=entry["datatype"],
            max_batch_size=config["max_batch_size"],
        )

    def prepare(self, file: bytes) -> NDArray[Any]:
        """An image as a row of the model's input."""
        image = Image.open(io.BytesIO(file)).convert("L" if self.channels == 1 else "RGB")
        resized = np.array(image.resize((self.width, self.height), Image.Resampling.BILINEAR))
        pixels = resized.reshape(self.height, self.width, self.channels)
        typed = pixels if self.datatype == "UINT8" else (pixels / 255).astype(np.float32)
        return typed.transpose(2, 0, 1) if self.channels_first else typed


class ImageClient:
    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self.model = ImageModel.of(client.get_model_metadata(name), client.get_model_config(name))

    def classify(self, files: Sequence[bytes], classes: int) -> list[list[Ranked]]:
        """The best classes of each image, in batches of the model's maximum size."""
        model = self.model
        rows = [model.prepare(file) for file in files]
        results: list[list[Ranked]] = []
        for start in range(0, len(rows), model.max_batch_size):
            batch = np.stack(rows[start : start + model.max_batch_size])
            given = triton.InferInput(model.input, batch.shape, model.datatype)
            given.set_data_from_numpy(batch)
            wanted = triton.InferRequestedOutput(model.output, class_count=classes)
            result = self._client.infer(model.name, [given], outputs=[wanted])
            results += [[_ranked(each) for each in row] for row in result.as_numpy(model.output)]
        return results


def _ranked(element: bytes) -> Ranked:
    value, index, label = element.decode().split(":")
    return Ranked(float(value), int(index), label)


def connected(server: ServerProcess, name: str) -> Iterator[ImageClient]:
    with triton.InferenceServerClient(server.url.removeprefix("http://")) as client:
        yield ImageClient(client, name)


@pytest.fixture
def shades(server: ServerProcess) -> Iterator[ImageClient]:
    yield from connected(server, "shades")


@pytest.fixture
def linear(server: ServerProcess) -> Iterator[ImageClient]:
    yield from connected(server, "linear")


@pytest.fixture
def convnet(shipped: ServerProcess) -> Iterator[ImageClient]:
    yield from connected(shipped, "convnet")


def agree(classes: list[Ranked], native: list[dict[str, Any]]) -> None:
    assert [(each.index, each.label) for each in classes] == [
        (each["index"], each["label"]) for each in native
    ]
    # Within the extension's digits and the client's own arithmetic.
    assert [each.value for each in classes] == pytest.approx(
        [each["probability"] for each in native], abs=2e-6
    )


def test_model_properties_from_metadata_and_configuration(shades: ImageClient, linear: ImageClient) -> None:
    assert shades.model == ImageModel("shades", "pixels", "probabilities", 1, SIDE, SIDE, False, "UINT8", 16)
    assert linear.model == ImageModel("linear", "pixels", "probabilities", 3, HEIGHT, WIDTH, True, "FP32", 16)


def test_grey_pixels_with_the_channel_last(shades: ImageClient, server: ServerProcess) -> None:
    files = [image(level(index % 10), side=SIDE + index) for index in range(40)]
    responses = shades.classify(files, 3)
    assert [response[0].label for response in responses] == [LABELS[index % 10] for index in range(40)]
    for file, response in zip(files, responses, strict=True):
        agree(response, ranked(server.url, "shades", file)[:3])


def test_floats_of_three_colours_with_the_channels_first(linear: ImageClient, server: ServerProcess) -> None:
    random = np.random.default_rng(0)
    files = [png(random.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)) for _ in range(20)]
    for file, response in zip(files, linear.classify(files, 4), strict=True):
        agree(response, ranked(server.url, "linear", file))


def test_drawn_digits(convnet: ImageClient, shipped: ServerProcess, digits: Sequence[Pixels]) -> None:
    files = [png(digit) for digit in digits]
    responses = convnet.classify(files, 1)
    assert [int(response[0].label) for response in responses] == list(range(10))
    for file, response in zip(files, responses, strict=True):
        agree(response, ranked(shipped.url, "convnet", file)[:1])


def test_digits_of_mnist(convnet: ImageClient, shipped: ServerProcess, mnist: Sequence[Pixels]) -> None:
    files = [png(digit) for digit in mnist]
    for file, response in zip(files, convnet.classify(files, 10), strict=True):
        agree(response, ranked(shipped.url, "convnet", file))
