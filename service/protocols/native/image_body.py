"""Reads images from a body of any supported media type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from ...client_budget import Account
from ...config.limits import Limits
from ...errors import InvalidInput, UnsupportedContent, shown
from ...imaging.decode_pool import EncodedImage
from ...inference.text_executor import INLINE_BYTES, TextExecutor
from ..shared.json_body import COST_PER_BYTE
from ..shared.multipart import read_files, text_size
from .json_images import read_json_images


async def read_images(
    texts: TextExecutor,
    headers: Mapping[bytes, bytes],
    body: bytes,
    limits: Limits,
    *,
    account: Account,
    deadline: float,
) -> list[EncodedImage]:
    """The images of a body; a long text is read outside the event loop, and charged to the account.

    Raises:
        InvalidInput: the body is empty, or malformed.
        UnsupportedContent: its media type or encoding is not supported.
        ConvserveError: as `TextExecutor.parse`.
    """
    read, size = _image_reader(headers, body, limits)
    if size <= INLINE_BYTES:
        return read()
    account.charge(2 * len(body))  # for the copy that is read, and for the files in it
    return await texts.parse(read, size=size, account=account, deadline=deadline)


def _image_reader(
    headers: Mapping[bytes, bytes], body: bytes, limits: Limits
) -> tuple[Callable[[], list[EncodedImage]], int]:
    """The function that reads the images of a body, and the bytes of text that it reads.

    Raises:
        InvalidInput: the body is empty.
        UnsupportedContent: its media type or encoding is not supported.
    """
    content_type = headers.get(b"content-type", b"").decode("latin-1")
    encoding = headers.get(b"content-encoding", b"identity").decode("latin-1")
    if encoding != "identity":
        raise UnsupportedContent(
            f"Content-Encoding {shown(encoding)} is not supported here; send the body uncompressed"
        )
    if not body:
        raise InvalidInput("the body is empty; send an image, a form with files, or JSON")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type.startswith("image/") or media_type in ("application/octet-stream", ""):
        return lambda: [EncodedImage(body)], 0
    if media_type == "multipart/form-data":
        return partial(read_files, content_type, body, limits.max_parts), text_size(body)
    if media_type == "application/json":
        return partial(read_json_images, body, limits.json), COST_PER_BYTE * len(body)
    raise UnsupportedContent(
        f"Content-Type {shown(media_type)} is not supported; send an image as image/* (with curl: "
        "-H 'Content-Type: image/png'), files as multipart/form-data, or base64 in application/json"
    )
