"""Parses JSON bodies of base64 images: `{"images": [{"b64": "…"}, …]}`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ...config.limits import JsonLimits
from ...errors import InvalidImage, InvalidInput, PayloadTooLarge, shortened
from ...imaging.decode_pool import EncodedImage
from ..shared.json_body import decode_base64, parse_json

# A body could contain a million images, and each takes microseconds to parse.
MAX_IMAGES = 10_000
MAX_FILENAME_LENGTH = 4096


# Extra members are allowed here and rejected by `_check_members`: pydantic would create an error for each,
# and a body could contain a million.
class JsonImage(BaseModel):
    model_config = ConfigDict(extra="allow")

    b64: str
    # Returned in the response.
    filename: Annotated[str, Field(max_length=MAX_FILENAME_LENGTH)] | None = None


class JsonImages(BaseModel):
    model_config = ConfigDict(extra="allow")

    images: Annotated[list[JsonImage], Field(fail_fast=True, max_length=MAX_IMAGES)]


_ADAPTER = TypeAdapter(JsonImages)
_EXPECTED = '; expected {"images": [{"b64": "…"}, …]}'


def read_json_images(body: bytes, limits: JsonLimits) -> list[EncodedImage]:
    """The images of a body; one that is not valid base64 has an `error` instead of bytes.

    Raises:
        InvalidInput: the body is not JSON or has another structure; the message says where.
        PayloadTooLarge: more than MAX_IMAGES images, or more values than `limits` allows.
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
        raise InvalidInput(f"{where}{shortened(name)}: Extra inputs are not permitted{_EXPECTED}")
