"""Images as base64 in JSON: `{"images": [{"b64": "…"}, …]}`, with or without a data: URI's prefix."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ...config.limits import JsonLimits
from ...errors import InvalidImage, InvalidInput, PayloadTooLarge
from ...imaging.decode_pool import EncodedImage
from ..shared.json_body import decode_base64, parse_json

# Reading one costs microseconds, whatever is in it, and a body has room for a million.
MAX_IMAGES = 10_000


# Members that should not be there are taken and then refused by `_check_members`: pydantic would make an
# error of each, and a body has room for a million.
class JsonImage(BaseModel):
    model_config = ConfigDict(extra="allow")

    b64: str
    filename: str | None = None


class JsonImages(BaseModel):
    model_config = ConfigDict(extra="allow")

    images: Annotated[list[JsonImage], Field(fail_fast=True, max_length=MAX_IMAGES)]


_ADAPTER = TypeAdapter(JsonImages)
_EXPECTED = '; expected {"images": [{"b64": "…"}, …]}'


def read_json_images(body: bytes, limits: JsonLimits) -> list[EncodedImage]:
    """The images of the body. One that is not base64 has no bytes, and the fault that says where.

    Raises:
        InvalidInput: not JSON, or not of this form; the message says where.
        PayloadTooLarge: more than MAX_IMAGES images, or more than `limits` lets in.
    """
    document = parse_json(_ADAPTER, body, limits, hint=_EXPECTED, too_long=PayloadTooLarge)
    _check_members(document, "")
    for index, image in enumerate(document.images):
        _check_members(image, f"images.{index}.")
    return [_image(image, f"images.{index}.b64") for index, image in enumerate(document.images)]


def _image(image: JsonImage, where: str) -> EncodedImage:
    try:
        return EncodedImage(decode_base64(image.b64, where), image.filename)
    except InvalidInput as error:
        return EncodedImage(b"", image.filename, InvalidImage(str(error)))


def _check_members(model: JsonImage | JsonImages, where: str) -> None:
    for name in model.model_extra or ():
        raise InvalidInput(f"{where}{name}: Extra inputs are not permitted{_EXPECTED}")
