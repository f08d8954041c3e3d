"""Pictures are made into the input for training just as the server makes them."""

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


PICTURE = Image.fromarray(sign(0, 0, 150)).resize((190, 131))
TURNED = Image.Exif()
TURNED[0x0112] = 6
SEE_THROUGH = PICTURE.convert("RGBA")
SEE_THROUGH.putalpha(PICTURE.convert("L"))


@pytest.mark.parametrize(
    "content",
    [
        encoded(PICTURE),
        encoded(PICTURE.resize((48, 48))),
        encoded(PICTURE.resize((9, 14))),
        encoded(PICTURE.resize((1200, 700))),
        encoded(PICTURE, "JPEG", exif=TURNED),
        encoded(PICTURE.convert("L")),
        encoded(PICTURE.convert("P")),
        encoded(SEE_THROUGH),
    ],
    ids=["png", "as-it-is", "small", "large", "turned", "grey", "palette", "see-through"],
)
@pytest.mark.parametrize("resize", ["stretch", "crop"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_network_is_trained_on_what_it_is_served(
    content: bytes, resize: Literal["stretch", "crop"], channels: int
) -> None:
    size = Size(48, 48, channels, resize)
    np.testing.assert_array_equal(decode(content, size), served(content, size))
