"""JPEGs decoded at a reduced size, compared with those decoded in full."""

from __future__ import annotations

import io
from functools import cache
from typing import Any, Literal, get_args

import numpy as np
import pytest
from PIL import ExifTags, Image, JpegImagePlugin

from service.imaging.decoder import Decoder
from service.imaging.resize import draft
from service.repository.manifest import InputSpec
from tests.support.images.image_cases import Array, encode

Resize = Literal["fit", "stretch", "crop"]
MAX_PIXELS = 10_000_000


def spec(resize: Resize, side: int = 32, channels: Literal[1, 3] = 3) -> InputSpec:
    return InputSpec.model_validate(
        {
            "name": "pixels",
            "dtype": "uint8",
            "layout": "NHWC",
            "height": side,
            "width": side,
            "channels": channels,
            "resize": resize,
            "polarity": None,
            "scale": None,
            "mean": None,
            "std": None,
        }
    )


@cache
def scene(width: int, height: int) -> Array:
    """Waves in three colours with amplitudes like those of photographs (D. J. Field, 1987)."""
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    lengths = [4.0 * 2**octave for octave in range(6)]
    shades = [
        sum(n * np.sin(x / n + colour) * np.cos(y / n - colour) for n in lengths) for colour in range(3)
    ]
    pixels: Array = (np.stack(shades, axis=-1) * 127 / sum(lengths) + 128).astype(np.uint8)
    return pixels


def photograph(size: tuple[int, int], **options: Any) -> bytes:
    return encode(Image.fromarray(scene(*size)), "JPEG", quality=92, **options)


def decoded(data: bytes, wanted: InputSpec) -> Array:
    decoder = Decoder(wanted, max_pixels=MAX_PIXELS)
    pixels: Array = decoder.decode(decoder.open(data)).astype(int)
    return pixels


def size_decoded(data: bytes, wanted: InputSpec) -> tuple[int, int]:
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    draft(image, wanted)
    image.load()
    return image.size


@pytest.mark.parametrize("resize", get_args(Resize))
@pytest.mark.parametrize(
    ("size", "most"),
    [
        ((1600, 1200), 1),
        ((900, 1600), 1),
        # An incomplete block adds a pixel: a third of a target's pixel at the far edge.
        ((801, 799), 2),
    ],
    ids=str,
)
@pytest.mark.parametrize("orientation", [1, 6])
def test_reduced_decoding_matches_full_decoding(
    size: tuple[int, int], most: float, resize: Resize, orientation: int
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = photograph(size, exif=exif)
    assert size_decoded(data, spec(resize))[0] < size[0]
    with Image.open(io.BytesIO(data)) as image:
        whole = encode(image.convert("RGB"), "PNG", exif=exif, compress_level=1)
    difference = np.abs(decoded(data, spec(resize)) - decoded(whole, spec(resize)))
    assert difference.mean() < most
    assert np.percentile(difference, 99) <= 6 * most


@pytest.mark.parametrize("resize", get_args(Resize))
def test_draft_keeps_three_times_the_target(resize: Resize) -> None:
    for size in ((97, 96), (191, 192), (200, 1000), (1000, 200), (3000, 100)):
        width, height = size_decoded(photograph(size), spec(resize))
        scale = 32 / max(size) if resize == "fit" else 1
        minimum = (size[0] * scale, size[1] * scale) if resize == "fit" else (32, 32)
        assert width >= min(size[0], 3 * minimum[0])
        assert height >= min(size[1], 3 * minimum[1])


def test_draft_keeps_every_pixel_of_model_size_and_dynamic_size() -> None:
    data = photograph((96, 96))
    assert size_decoded(data, spec("stretch")) == (96, 96)
    free = spec("stretch").model_copy(update={"height": None, "width": None})
    assert size_decoded(photograph((1600, 1200)), free) == (1600, 1200)


def test_draft_ignores_other_formats() -> None:
    image_bytes = encode(Image.fromarray(scene(800, 600)), "PNG")
    assert decoded(image_bytes, spec("crop")).shape == (32, 32, 3)
