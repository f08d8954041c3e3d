"""Images as base64 in JSON: `{"images": [{"b64": "…"}, …]}`, with or without a data: URI's prefix."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from ..decoding import Image
from ..errors import InvalidInput
from .base64_text import decode_base64


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
        Image(decode_base64(image.b64, f"images.{index}.b64"), image.filename)
        for index, image in enumerate(document.images)
    ]
