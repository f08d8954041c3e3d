"""Parses a JSON body into a dialect's model, and decodes base64 text in it."""

from __future__ import annotations

import binascii
import codecs
import re
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from ...config.limits import JsonLimits
from ...errors import ConvserveError, InvalidInput, PayloadTooLarge, shortened
from ...inference.text_executor import INLINE_BYTES
from .parsing.json_scan import cut_arrays, depth, too_deep
from .parsing.number_array import STEP_BYTES

T = TypeVar("T")

# JSON up to this size is parsed at once: even nested empty lists take at most two milliseconds.
MAX_SMALL_BYTES = 8 * 1024
# Parsing JSON takes longer than other work on as much text.
COST_PER_BYTE = INLINE_BYTES // MAX_SMALL_BYTES

_SPACE = " \t\r\n\v\f"
_DATA_URI = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)


def parse_json(
    adapter: TypeAdapter[T],
    body: bytes,
    limits: JsonLimits,
    *,
    hint: str = "",
    too_long: type[ConvserveError] = InvalidInput,
) -> T:
    """Parse and validate a JSON body.

    A large one takes milliseconds, but holds the interpreter for at most a few at a time. A byte order mark
    before it is ignored.

    Args:
        hint: text to append to the error message.
        too_long: the error for a list longer than the adapter allows.

    Raises:
        PayloadTooLarge: it has more values than the limit.
        InvalidInput: it is not JSON, too deeply nested, or does not match the adapter.
    """
    body = body.removeprefix(codecs.BOM_UTF8)  # editors and shells of Windows write it
    arrays = None
    if len(body) <= MAX_SMALL_BYTES:
        _check_small(body, limits)
    else:
        body, arrays = cut_arrays(body, limits)
    try:
        return adapter.validate_json(body, context=arrays)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(shortened, map(str, first["loc"]))) or "the body"
        wrong = too_long if first["type"] == "too_long" else InvalidInput
        raise wrong(f"{where}: {first['msg']}{hint}") from error


def decode_base64(text: str, where: str) -> bytes:
    """Decode base64, with or without the prefix of a data: URI (RFC 2397); white space is ignored.

    Raises:
        InvalidInput: it is not base64; the message begins with `where`.
    """
    prefix = _DATA_URI.match(text)
    encoded = text[prefix.end() :] if prefix else text
    try:
        return _decode(encoded)
    except ValueError as error:
        raise InvalidInput(f"{where} is not valid base64: {error}") from error


def _decode(text: str) -> bytes:
    """Decode base64, in steps if it is long; other threads can run between them.

    Raises:
        ValueError: it is not base64.
    """
    if len(text) <= STEP_BYTES:
        try:
            return binascii.a2b_base64(text, strict_mode=True)
        except ValueError:
            without_space = "".join(text.split())
            if len(without_space) == len(text):
                raise
            return binascii.a2b_base64(without_space, strict_mode=True)
    encoded: str | bytes = text
    if any(space in text for space in _SPACE):
        pieces = (text[step : step + STEP_BYTES] for step in range(0, len(text), STEP_BYTES))
        encoded = b"".join([piece.encode("ascii").translate(None, _SPACE.encode()) for piece in pieces])
    decoded = []
    for step in range(0, len(encoded), STEP_BYTES):  # a multiple of the four characters of three bytes
        decoded.append(binascii.a2b_base64(encoded[step : step + STEP_BYTES], strict_mode=True))
        if len(decoded[-1]) < STEP_BYTES // 4 * 3 and step + STEP_BYTES < len(encoded):
            raise ValueError("Excess data after padding")
    return b"".join(decoded)


def _check_small(body: bytes, limits: JsonLimits) -> None:
    """Reject JSON with too many values or too deep nesting before parsing.

    Values are counted by the characters that begin a list or an object, or separate two values. Those within
    strings count too; base64 has none.
    """
    # A value takes at least a byte, so most bodies need no counting.
    limit = limits.max_values
    if len(body) > limit and sum(map(body.count, (b"[", b"{", b","))) > limit:
        raise PayloadTooLarge(
            f"the JSON has more than {limit:,} values (CONVSERVE_MAX_JSON_VALUES); "
            "send tensors as binary data, or images as files"
        )
    if body.count(b"[") + body.count(b"{") > limits.max_depth and depth(body) > limits.max_depth:
        raise too_deep(limits)
