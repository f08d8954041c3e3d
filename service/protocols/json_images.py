"""Images as base64 in JSON: `{"images": [{"b64": "…"}, …]}`, with or without a data: URI's prefix."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ..decoding import Image
from ..errors import InvalidInput, PayloadTooLarge
from .base64_text import decode_base64

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
_EXPECTED = 'expected {"images": [{"b64": "…"}, …]}'


def read_json_images(body: bytes) -> list[Image]:
    """The decoded images of the body.

    Raises:
        InvalidInput: not JSON, not of this form, or not base64; the message says where.
        PayloadTooLarge: more than MAX_IMAGES images.
    """
    try:
        document = _ADAPTER.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        if first["type"] == "too_long":
            raise PayloadTooLarge(f"{where}: {first['msg']}") from error
        raise InvalidInput(f"{where}: {first['msg']}; {_EXPECTED}") from error
    _check_members(document, "")
    for index, image in enumerate(document.images):
        _check_members(image, f"images.{index}.")
    return [
        Image(decode_base64(image.b64, f"images.{index}.b64"), image.filename)
        for index, image in enumerate(document.images)
    ]


def _check_members(model: JsonImage | JsonImages, where: str) -> None:
    for name in model.model_extra or ():
        raise InvalidInput(f"{where}{name}: Extra inputs are not permitted; {_EXPECTED}")
