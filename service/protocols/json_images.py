"""Images as base64 in JSON: `{"images": [{"b64": "…"}, …]}`, with or without a data: URI's prefix."""

from __future__ import annotations

import binascii
import re

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from ..decoding import Image
from ..errors import InvalidInput

_DATA_URI = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)


class JsonImage(BaseModel):
    model_config = ConfigDict(extra="forbid")

    b64: str
    filename: str | None = None


class JsonImages(BaseModel):
    model_config = ConfigDict(extra="forbid")

    images: list[JsonImage]


_ADAPTER = TypeAdapter(JsonImages)


def read_json_images(body: bytes) -> list[Image]:
    """The decoded images of the body.

    Raises:
        InvalidInput: not JSON, not of this form, or not base64; the message says where.
    """
    try:
        document = _ADAPTER.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise InvalidInput(f'{where}: {first["msg"]}; expected {{"images": [{{"b64": "…"}}, …]}}') from error
    return [
        Image(_decode(image.b64, f"images.{index}.b64"), image.filename)
        for index, image in enumerate(document.images)
    ]


def _decode(text: str, where: str) -> bytes:
    prefix = _DATA_URI.match(text)
    encoded = text[prefix.end() :] if prefix else text
    try:
        return binascii.a2b_base64("".join(encoded.split()), strict_mode=True)
    except ValueError as error:
        raise InvalidInput(f"{where} is not valid base64: {error}") from error
