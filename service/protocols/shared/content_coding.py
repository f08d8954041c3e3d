"""Compresses and decompresses bodies with gzip or deflate (RFC 9110, section 8.4.1)."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from functools import partial

from ...client_budget import Account
from ...errors import InvalidInput, PayloadTooLarge, UnsupportedContent, shown
from ...inference.text_executor import TextExecutor

# zlib's window bits: 31 is gzip, 15 is what HTTP calls deflate.
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_OFFERED = ("gzip", "deflate")
# A weight of 0 (RFC 9110, section 12.4.2).
_FORBIDDEN = re.compile(r"q\s*=\s*0(\.0*)?", re.IGNORECASE)
# Real headers have fewer characters; one with thousands of elements is not worth reading.
MAX_ACCEPTED_LENGTH = 1024
# Compressing a smaller response takes longer than sending it.
MIN_COMPRESSED_BYTES = 16 * 1024
# Bytes of input and of output of one call of zlib: a few milliseconds.
STEP_BYTES = 256 * 1024
# Pixels of one colour are compressed to a thousandth, but large bodies of real images by half.
MAX_RATIO = 100
UNLIMITED_RATIO_BYTES = 4 * 1024 * 1024


async def decompress(
    body: bytes, coding: str, limit: int, texts: TextExecutor, *, account: Account, deadline: float
) -> bytes:
    """The decompressed body, of at most `limit` bytes.

    Raises:
        UnsupportedContent: the coding is not gzip, deflate or identity.
        InvalidInput: the body is not in that coding, or truncated.
        PayloadTooLarge: the output exceeds `limit` bytes, or MAX_RATIO times the input if it is large;
            decompression stops there.
        BudgetExceeded, DeadlineExceeded: as `Account.charge` and `TextExecutor.run` raise them.
    """
    name = coding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in _WINDOWS:
        raise UnsupportedContent(
            f"Content-Encoding {shown(coding)} is not supported; send gzip, deflate or identity"
        )
    steps = _inflate(body, name, limit)
    pieces: list[bytes] = []
    size = 0
    while True:
        step = partial(next, steps, None)
        first = size < STEP_BYTES and len(body) <= STEP_BYTES
        piece = (
            step() if first else await texts.run(step, size=STEP_BYTES, account=account, deadline=deadline)
        )
        if piece is None:
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        account.charge(len(piece))
        pieces.append(piece)
        size += len(piece)


def _inflate(body: bytes, name: str, limit: int) -> Iterator[bytes]:
    """The parts of the decompressed body."""
    inflater = zlib.decompressobj(_WINDOWS[name])
    limit = min(limit, max(UNLIMITED_RATIO_BYTES, MAX_RATIO * len(body)))
    size = position = 0
    # A call copies the input that it leaves, so the input is passed in parts too.
    while position < len(body) and not inflater.eof:
        pending = body[position : position + STEP_BYTES]
        position += len(pending)
        while pending and not inflater.eof:
            try:
                piece = inflater.decompress(pending, min(STEP_BYTES, limit + 1 - size))
            except zlib.error as error:
                raise InvalidInput(f"the body is not valid {name}: {error}") from error
            size += len(piece)
            if size > limit:
                raise PayloadTooLarge(
                    f"the decompressed body is larger than {limit} bytes: the limit is "
                    f"CONVSERVE_MAX_BODY_BYTES, and {MAX_RATIO} times the size of a large compressed body"
                )
            yield piece
            pending = inflater.unconsumed_tail
    if not inflater.eof or inflater.unused_data or position < len(body):
        raise InvalidInput(f"the body is not exactly one {name} stream")


async def compress(
    body: bytes, accepted: str, texts: TextExecutor, *, account: Account, deadline: float
) -> tuple[bytes, str | None]:
    """Compress a body with the first supported coding of an Accept-Encoding header.

    Returns:
        The body and the coding's name; the unchanged body and None if it is small or no coding matches.

    Raises:
        DeadlineExceeded: as `TextExecutor.run` raises it.
    """
    if len(body) < MIN_COMPRESSED_BYTES or len(accepted) > MAX_ACCEPTED_LENGTH:
        return body, None
    name = next((name for name in map(_accepted_name, accepted.split(",")) if name in _OFFERED), None)
    if name is None:
        return body, None
    deflater = zlib.compressobj(level=1, wbits=_WINDOWS[name])
    if len(body) <= STEP_BYTES:
        return deflater.compress(body) + deflater.flush(), name
    pieces = []
    for start in range(0, len(body), STEP_BYTES):
        step = partial(deflater.compress, memoryview(body)[start : start + STEP_BYTES])
        pieces.append(await texts.run(step, size=STEP_BYTES, account=account, deadline=deadline))
    return b"".join([*pieces, deflater.flush()]), name


def _accepted_name(part: str) -> str | None:
    """The coding of one element of Accept-Encoding; None if its weight is 0."""
    name, _, weight = part.partition(";")
    return None if _FORBIDDEN.fullmatch(weight.strip()) else name.strip().lower()
