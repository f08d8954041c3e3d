"""Parses a JSON body into a dialect's model, and the base64 text that stands for bytes in it."""

from __future__ import annotations

import binascii
import re
from typing import TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError

from ...config.limits import JsonLimits
from ...errors import ConvserveError, InvalidInput, PayloadTooLarge

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
    """The body's content, within its limits.

    Args:
        hint: what to add to the sentence about what is wrong.
        too_long: what is wrong with a list of more elements than the adapter takes.

    Raises:
        PayloadTooLarge: it holds more values than may be.
        InvalidInput: it lies too deep, is not JSON, or not of the adapter's form; the message says where.
    """
    _check(body, limits)
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        wrong = too_long if first["type"] == "too_long" else InvalidInput
        raise wrong(f"{where}: {first['msg']}{hint}") from error


def decode_base64(text: str, where: str) -> bytes:
    """Decodes base64, with or without the prefix of a data: URI (RFC 2397); white space is ignored.

    Raises:
        InvalidInput: it is not base64; the message begins with `where`.
    """
    prefix = _DATA_URI.match(text)
    encoded = text[prefix.end() :] if prefix else text
    try:
        return binascii.a2b_base64("".join(encoded.split()), strict_mode=True)
    except ValueError as error:
        raise InvalidInput(f"{where} is not valid base64: {error}") from error


def _check(body: bytes, limits: JsonLimits) -> None:
    """Refuse JSON that holds too much or lies too deep, before any of it is made.

    Counted are the characters that begin a list or an object or part two values. Those inside of strings are
    counted too; base64 has none. A list of nothing takes two bytes here, and once read a hundred.
    """
    # Each value takes a byte, so that most bodies need no counting.
    most = limits.max_values
    if len(body) > most and sum(map(body.count, (b"[", b"{", b","))) > most:
        raise PayloadTooLarge(
            f"the JSON holds more than {most:,} values (CONVSERVE_MAX_JSON_VALUES); "
            "send tensors as binary data, or pictures as files"
        )
    if body.count(b"[") + body.count(b"{") > limits.max_depth and _depth(body) > limits.max_depth:
        raise InvalidInput(
            f"the JSON lies deeper than {limits.max_depth} lists and objects (CONVSERVE_MAX_JSON_DEPTH)"
        )


def _depth(body: bytes) -> int:
    """The most brackets that are open at a time, those in strings counted too."""
    # [ and {, ] and } differ in the bit that parts capitals from small letters.
    folded = np.frombuffer(body, np.uint8) | 0x20
    opening, closing = folded == ord("{"), folded == ord("}")
    steps = np.where(opening, 1, -1)[opening | closing]
    return int(np.cumsum(steps).max(initial=0))
