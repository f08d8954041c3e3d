"""Arrays of numbers in JSON text, which are found and checked without parsing them.

A parser turns `[[[1],[2]]]` into a Python object for each list and each number, which take up to fifty times
the memory of the text, and holds the interpreter until it has finished. Here the shape of an array follows
from its brackets and commas, and its numbers are parsed in pieces, without their brackets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from ....errors import InvalidInput, PayloadTooLarge, shown

# A piece of text that is searched or translated in one call, at up to 3 ns a byte.
STEP_BYTES = 1024 * 1024
# A piece of text whose numbers are parsed in one call, at up to 50 ns a byte.
PIECE_BYTES = 64 * 1024
# The axes of a batch of images, and some to spare.
MAX_AXES = 8

_SPACE = b" \t\r\n"
# The characters of numbers, NaN and Infinity.
_NUMBER = b"0123456789eE+-.NaInfity"
# Each character of a number becomes a zero.
_FOLDED = bytes(ord("0") if byte in _NUMBER else byte for byte in range(256))


@dataclass(frozen=True, slots=True)
class NumberArray:
    """A regular array of numbers, `body[start:end]`, that is not parsed yet.

    Attributes:
        shape: its number of elements on each axis, at least one.
    """

    body: bytes
    start: int
    end: int
    shape: tuple[int, ...]

    def parse(self, name: str) -> NDArray[Any]:
        """The numbers, in the array's shape.

        Raises:
            InvalidInput: they are not valid JSON numbers, or too large for float64; the message names the
                input `name`.
        """
        pieces = []
        position = self.start
        while position < self.end:
            cut = min(position + PIECE_BYTES, self.end)
            if cut < self.end:
                cut = self.body.rfind(b",", position, cut)
            if cut == -1:
                raise not_numbers(name)
            pieces.append(_parse_piece(self.body[position:cut].translate(None, b"[]"), name))
            position = cut + 1
        numbers = np.concatenate(pieces)
        try:
            return numbers.reshape(self.shape)
        except ValueError as error:  # an empty list where a number is expected
            raise not_numbers(name) from error


def not_numbers(name: str) -> InvalidInput:
    return InvalidInput(f"the data of input {shown(name)} is not a regular array of numbers")


def as_array(values: list[Any]) -> NDArray[Any]:
    """A flat list of Python's numbers as an array; integers beyond NumPy's types become float64.

    Raises:
        OverflowError: an integer is too large for float64.
    """
    array = np.array(values)
    return array if array.dtype.kind in "iuf" else np.array(values, np.float64)


def find_array(body: bytes, start: int, end: int, max_numbers: int) -> NumberArray | None:
    """The regular array of numbers that begins at `start`, in text without strings; None if there is none.

    The numbers themselves are checked when they are parsed.

    Raises:
        PayloadTooLarge: it has more than `max_numbers` numbers.
    """
    stops = (body.find(other, start, end) for other in (b"{", b"}", b":"))
    stop = min((stop for stop in stops if stop != -1), default=end)
    end = body.rfind(b"]", start, stop) + 1
    structure = _structure(body, start, end, max_numbers)
    if structure is None:
        return None
    shape = _shape(structure)
    return None if shape is None else NumberArray(body, start, end, shape)


def _structure(body: bytes, start: int, end: int, max_numbers: int) -> bytes | None:
    """The text of an array without numbers; None if a number is on the wrong side of a bracket."""
    parts = []
    commas = 0
    last = b""
    for position in range(start, end, STEP_BYTES):
        text = body[position : min(position + STEP_BYTES, end)].translate(_FOLDED, _SPACE)
        if b"0[" in last + text or b"]0" in last + text:
            return None
        last = text[-1:] or last
        parts.append(text.translate(None, b"0"))
        commas += parts[-1].count(b",")
        if commas >= max_numbers:
            raise PayloadTooLarge(
                f"the JSON has an array of more than {max_numbers:,} numbers (CONVSERVE_MAX_JSON_VALUES); "
                "send tensors as binary data"
            )
    return b"".join(parts)


def _shape(structure: bytes) -> tuple[int, ...] | None:
    """The shape of an array with these brackets and commas; None if it is not regular."""
    axes = 0
    while axes <= MAX_AXES and structure[axes : axes + 1] == b"[":
        axes += 1
    if not 0 < axes <= MAX_AXES:
        return None
    shape: list[int] = []
    size = 1
    expected = b""
    for closed in range(1, axes + 1):
        # The first place that closes this many lists is the end of the first element of the next axis.
        elements = structure.count(b",", 0, structure.find(b"]" * closed) + 1) + 1
        length, rest = divmod(elements, size)
        if rest or len(structure) < len(expected) * length:
            return None
        expected = b"[%b]" % ((expected + b",") * length)[:-1]
        shape.append(length)
        size = elements
    return tuple(reversed(shape)) if expected == structure else None


def _parse_piece(text: bytes, name: str) -> NDArray[Any]:
    try:
        return as_array(from_json(b"[" + text + b"]"))
    except (ValueError, OverflowError) as error:
        raise not_numbers(name) from error
