"""Evaluation prepares images as the server does: the two programs share the rules, but no code."""

from __future__ import annotations

import io
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from export.datasets.image_files import Size, decode
from export.datasets.server_input import as_input
from export.repository.io_spec import InputSpec
from service.imaging.decoder import Decoder
from service.repository.manifest import InputSpec as ServedInput

SPECS = {
    "digits": InputSpec("x", "uint8", "NHWC", 28, 28, 1, "fit", "light-on-dark"),
    "one digit": InputSpec("x", "uint8", "NHWC", 28, 28, 1, "ink", "light-on-dark"),
    "dark on light": InputSpec("x", "uint8", "NHWC", 20, 30, 3, "fit", "dark-on-light"),
    "stretched": InputSpec("x", "uint8", "NHWC", 48, 48, 3, "stretch"),
    "cropped": InputSpec(
        "x", "float32", "NCHW", 40, 24, 3, "crop", None, 1 / 255, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    ),
    "grey floats": InputSpec("x", "float32", "NHWC", 16, 16, 1, "crop", None, None, (100.0,), None),
}
SIZES = [(28, 28), (48, 48), (200, 150), (31, 97), (3, 2), (1, 1), (350, 300)]


def served(spec: InputSpec) -> ServedInput:
    fields = {
        name: list(value) if isinstance(value, tuple) else value for name, value in asdict(spec).items()
    }
    return ServedInput.model_validate(fields)


def drawn(size: tuple[int, int], mode: str, light: bool) -> bytes:
    """A smooth image with a margin, light or dark, and some strokes."""
    width, height = size
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    channels = [200 * across + 20, 120 + 100 * np.sin(9 * down), 250 - 180 * across * down]
    pixels = np.stack(channels, axis=-1).astype(np.uint8)
    margin_y, margin_x = height // 5, width // 5
    framed = np.full_like(pixels, 250 if light else 9)
    middle = np.s_[margin_y : height - margin_y, margin_x : width - margin_x]
    framed[middle] = pixels[middle]
    buffer = io.BytesIO()
    Image.fromarray(framed).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1", "RGBA"])
@pytest.mark.parametrize("light", [True, False], ids=["light", "dark"])
def test_evaluation_and_server_see_equal_inputs(
    spec: InputSpec, size: tuple[int, int], mode: str, light: bool
) -> None:
    content = drawn(size, mode, light)
    decoder = Decoder(served(spec), max_pixels=10**7)
    expected = decoder.decode(decoder.open(content))
    found = as_input(decode(content, Size.of(spec))[np.newaxis], spec)[0]
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
