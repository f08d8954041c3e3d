"""Training and serving decode images to the same pixels."""

from __future__ import annotations

import io
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from export.datasets.image_files import Size, decode
from service.imaging import decoder
from service.repository.manifest import InputSpec
from tests.support.images.drawn_signs import sign


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def served(content: bytes, size: Size) -> NDArray[np.uint8]:
    fields = {"name": "pixels", "dtype": "uint8", "layout": "NHWC", **vars(size)}
    spec = InputSpec.model_validate(fields | dict.fromkeys(("polarity", "scale", "mean", "std")))
    decoding = decoder.Decoder(spec, max_pixels=10_000_000)
    return np.asarray(decoding.decode(decoding.open(content)), np.uint8)


IMAGE = Image.fromarray(sign(0, 0, 150)).resize((190, 131))
ROTATED = Image.Exif()
ROTATED[0x0112] = 6
TRANSPARENT = IMAGE.convert("RGBA")
TRANSPARENT.putalpha(IMAGE.convert("L"))


@pytest.mark.parametrize(
    "content",
    [
        encoded(IMAGE),
        encoded(IMAGE.resize((48, 48))),
        encoded(IMAGE.resize((9, 14))),
        encoded(IMAGE.resize((1200, 700))),
        encoded(IMAGE, "JPEG", exif=ROTATED),
        encoded(IMAGE.convert("L")),
        encoded(IMAGE.convert("P")),
        encoded(TRANSPARENT),
    ],
    ids=["png", "model-size", "small", "large", "rotated", "grey", "palette", "transparent"],
)
@pytest.mark.parametrize("resize", ["stretch", "crop"])
@pytest.mark.parametrize("channels", [1, 3])
def test_training_and_serving_decode_alike(
    content: bytes, resize: Literal["stretch", "crop"], channels: int
) -> None:
    size = Size(48, 48, channels, resize)
    np.testing.assert_array_equal(decode(content, size), served(content, size))
