"""Checks the size of large JSON before it is parsed, and cuts out its arrays of numbers.

A parser holds the interpreter until it has finished. What it may have to do is bounded here, in calls that
take a few milliseconds each: without its arrays of numbers, JSON has few values, whatever its size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping
from typing import Any

import numpy as np
from pydantic import ValidationInfo

from ....config.limits import JsonLimits
from ....errors import ConvserveError, InvalidInput, PayloadTooLarge
from .number_array import STEP_BYTES, NumberArray, find_array

# A shorter array of numbers is parsed like any other value.
MIN_ARRAY_BYTES = 64
# Characters outside strings and arrays of numbers: mostly punctuation and white space.
MAX_OTHER_BYTES = 1024 * 1024
# The start of a text that has too many values, in which too deep a nesting is noticed.
PROBE_BYTES = 64 * 1024
# Each takes up to 25 ns. PHP writes a slash of base64 as an escape.
MAX_ESCAPES = 1_000_000
# Bytes of strings that are not ASCII: file names, since base64 is ASCII.
MAX_NON_ASCII_BYTES = 1024 * 1024
# Stands for an array in the rest of the text, once. A client that sends it gets an array of its own.
PLACEHOLDER = "\ue000array"

_BEFORE_ARRAY = re.compile(rb"[ \t\r\n]*+:[ \t\r\n]*+(?=\[)")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def cut_arrays(body: bytes, limits: JsonLimits) -> tuple[bytes, dict[str, NumberArray]]:
    """The text with a string in place of each large array of numbers, and the arrays by these strings.

    Raises:
        PayloadTooLarge: it has more numbers, or other values, than the limits allow.
        InvalidInput: it is nested too deeply, or a limit that no valid request reaches is exceeded.
    """
    _check_strings(body, limits)
    arrays: dict[str, NumberArray] = {}
    rest: list[bytes] = []
    outside = bytearray()
    numbers = limits.max_values
    copied = 0
    for start, end in _outside_strings(body):
        if end - start >= MIN_ARRAY_BYTES and (before := _BEFORE_ARRAY.match(body, start, end)):
            array = find_array(body, before.end(), end, numbers)
            if array is not None:
                numbers -= int(np.prod(array.shape))
                name = f"{PLACEHOLDER} {len(arrays)}"
                arrays[name] = array
                axes = len(array.shape)
                rest += (body[copied : array.start], f'"{name}"'.encode())
                outside += body[start : array.start] + b"[" * axes + b"]" * axes
                start = copied = array.end
        if end - start > MAX_OTHER_BYTES:
            raise _too_many_values(body[start:end], limits)
        outside += body[start:end]
    _check_structure(outside, limits)
    return (b"".join([*rest, body[copied:]]) if arrays else body), arrays


def restore_arrays(value: Any, info: ValidationInfo) -> Any:
    """A validator that moves the arrays, which are the validation's context, to the places of their strings.

    Each array is used once: a text that repeats the string of one would repeat its numbers.
    """
    return _restored(value, info.context) if info.context else value


def _restored(value: Any, arrays: MutableMapping[str, NumberArray]) -> Any:
    if isinstance(value, str):
        return arrays.pop(value, value)
    if isinstance(value, list):
        return [_restored(each, arrays) for each in value]
    if isinstance(value, dict):
        return {name: _restored(each, arrays) for name, each in value.items()}
    return value


def exceeds(body: bytes | bytearray, characters: bytes, limit: int) -> bool:
    """True if the text has more than `limit` of these characters; then most of it is not read."""
    total = 0
    for start in range(0, len(body), STEP_BYTES):
        total += sum(body.count(each, start, start + STEP_BYTES) for each in characters)
        if total > limit:
            return True
    return False


def depth(text: bytes | bytearray) -> int:
    """The maximum number of open brackets, including those within strings."""
    brackets = np.frombuffer(text.translate(None, _NO_BRACKETS), np.uint8)
    # [ and { differ only in bit 0x20, and so do ] and }.
    steps = np.where(brackets | 0x20 == ord("{"), np.int32(1), np.int32(-1))
    return int(np.cumsum(steps).max(initial=0))


def _check_strings(body: bytes, limits: JsonLimits) -> None:
    if exceeds(body, b'"', 4 * limits.max_members):
        raise PayloadTooLarge(
            f"the JSON has more than {2 * limits.max_members:,} strings; send tensors as binary data"
        )
    if exceeds(body, b"\\", MAX_ESCAPES):
        raise PayloadTooLarge(f"the JSON has more than {MAX_ESCAPES:,} backslashes")


def _outside_strings(body: bytes) -> Iterator[tuple[int, int]]:
    """The start and end of each part of the text that is outside strings, up to one that does not end.

    Raises:
        InvalidInput: strings with characters that are not ASCII are too long.
    """
    is_ascii = body.isascii()
    non_ascii = position = 0
    while (opening := body.find(b'"', position)) != -1:
        yield position, opening
        position = _end_of_string(body, opening + 1)
        if position == 0:
            return
        if not is_ascii and not body[opening:position].isascii():
            non_ascii += position - opening
            if non_ascii > MAX_NON_ASCII_BYTES:
                raise InvalidInput("the JSON has long strings that are not ASCII; images must be base64")
    yield position, len(body)


def _end_of_string(body: bytes, start: int) -> int:
    """The position after the closing quote of a string; 0 if there is none."""
    position = start
    while (closing := body.find(b'"', position)) != -1:
        width = 16
        while True:  # the run of backslashes before the quote, mostly none
            before = body[max(start, closing - width) : closing]
            backslashes = len(before) - len(before.rstrip(b"\\"))
            if backslashes < width:
                break
            width *= 16
        if backslashes % 2 == 0:
            return closing + 1
        position = closing + 1
    return 0


def _check_structure(text: bytearray, limits: JsonLimits) -> None:
    """Check what is left outside strings and arrays of numbers."""
    if len(text) > MAX_OTHER_BYTES or exceeds(text, b"[{,", limits.max_members):
        raise _too_many_values(text, limits)
    if exceeds(text, b"]}", limits.max_members):
        raise InvalidInput("the JSON closes more lists and objects than it opens")
    if depth(text) > limits.max_depth:
        raise too_deep(limits)


def _too_many_values(text: bytes | bytearray, limits: JsonLimits) -> ConvserveError:
    if depth(text[:PROBE_BYTES]) > limits.max_depth:
        return too_deep(limits)
    return PayloadTooLarge(
        f"the JSON has more than {limits.max_members:,} values besides regular arrays of numbers "
        "(CONVSERVE_MAX_JSON_VALUES); send tensors as binary data, or images as files"
    )


def too_deep(limits: JsonLimits) -> InvalidInput:
    return InvalidInput(
        f"the JSON is nested deeper than {limits.max_depth} levels (CONVSERVE_MAX_JSON_DEPTH)"
    )
