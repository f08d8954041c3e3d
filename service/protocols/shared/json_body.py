"""Parses a JSON body into a dialect's model, and decodes base64 text in it."""

from __future__ import annotations

import binascii
import re
from typing import TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError

from ...config.limits import JsonLimits
from ...errors import ConvserveError, InvalidInput, PayloadTooLarge, shortened

T = TypeVar("T")

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

    Args:
        hint: text to append to the error message.
        too_long: the error for a list longer than the adapter allows.

    Raises:
        PayloadTooLarge: it has more values than the limit.
        InvalidInput: it is not JSON, too deeply nested, or does not match the adapter.
    """
    _check_limits(body, limits)
    try:
        return adapter.validate_json(body)
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
        return binascii.a2b_base64("".join(encoded.split()), strict_mode=True)
    except ValueError as error:
        raise InvalidInput(f"{where} is not valid base64: {error}") from error


def _check_limits(body: bytes, limits: JsonLimits) -> None:
    """Reject JSON with too many values or too deep nesting before parsing: an empty list takes two bytes of
    JSON, but a hundred once parsed.

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
    if body.count(b"[") + body.count(b"{") > limits.max_depth and _depth(body) > limits.max_depth:
        raise InvalidInput(
            f"the JSON is nested deeper than {limits.max_depth} levels (CONVSERVE_MAX_JSON_DEPTH)"
        )


def _depth(body: bytes) -> int:
    """The maximum number of open brackets, including those within strings."""
    # [ and { differ only in bit 0x20, and so do ] and }.
    folded = np.frombuffer(body, np.uint8) | 0x20
    opening, closing = folded == ord("{"), folded == ord("}")
    steps = np.where(opening, 1, -1)[opening | closing]
    return int(np.cumsum(steps).max(initial=0))
