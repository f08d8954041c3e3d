"""Compresses and decompresses bodies with gzip or deflate (RFC 9110, section 8.4.1)."""

from __future__ import annotations

import re
import zlib
from functools import partial

from ...client_budget import Account
from ...errors import InvalidInput, PayloadTooLarge, UnsupportedContent, shown
from ...inference.text_executor import INLINE_BYTES, TextExecutor

# zlib's window bits: 31 is gzip, 15 is what HTTP calls deflate.
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_OFFERED = ("gzip", "deflate")
# A weight of 0 (RFC 9110, section 12.4.2).
_FORBIDDEN = re.compile(r"q\s*=\s*0(\.0*)?", re.IGNORECASE)
# Real headers have fewer characters; one with thousands of elements is not worth reading.
MAX_ACCEPTED_LENGTH = 1024
# Compressing a smaller response takes longer than sending it.
MIN_COMPRESSED_BYTES = 16 * 1024
# Bytes of input of one call of zlib: a few milliseconds.
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
        BudgetExceeded, DeadlineExceeded: as `Account.charge` and `TextExecutor.parse` raise them.
    """
    name = coding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in _WINDOWS:
        raise UnsupportedContent(
            f"Content-Encoding {shown(coding)} is not supported; send gzip, deflate or identity"
        )
    limit = min(limit, max(UNLIMITED_RATIO_BYTES, MAX_RATIO * len(body)))
    if len(body) <= INLINE_BYTES:
        small = min(limit, INLINE_BYTES)
        try:
            inflated = inflate(body, name, small)
        except PayloadTooLarge:
            if small == limit:
                raise
        else:
            account.charge(len(inflated))
            return inflated
    account.charge(len(body) + limit)  # the size is not known yet
    job = partial(inflate, body, name, limit)
    inflated = await texts.parse(job, size=limit, account=account, deadline=deadline)
    account.release(len(body) + limit - len(inflated))
    return inflated


def inflate(body: bytes, name: str, limit: int) -> bytes:
    """The decompressed body, of at most `limit` bytes.

    Raises:
        InvalidInput: the body is not in that coding, or truncated.
        PayloadTooLarge: the output is larger than the limit; decompression stops there.
    """
    inflater = zlib.decompressobj(_WINDOWS[name])
    try:
        inflated = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidInput(f"the body is not valid {name}: {error}") from error
    if len(inflated) > limit:
        raise PayloadTooLarge(
            f"the decompressed body is larger than {limit} bytes: the limit is "
            f"CONVSERVE_MAX_BODY_BYTES, and {MAX_RATIO} times the size of a large compressed body"
        )
    if not inflater.eof or inflater.unused_data:
        raise InvalidInput(f"the body is not exactly one {name} stream")
    return inflated


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
