"""A JSON body read into what a dialect expects of it."""

from __future__ import annotations

from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from ..errors import InvalidInput, PayloadTooLarge

T = TypeVar("T")


def check_values(body: bytes, most: int) -> None:
    """Refuse JSON of more values than that, before any of them is made.

    Counted are the characters that begin a list or an object or part two values. Those inside of strings are
    counted too; base64 has none. A list of nothing takes two bytes here, and once read a hundred.

    Raises:
        PayloadTooLarge: there are more.
    """
    # Each takes a byte, so that most bodies need no counting.
    if len(body) > most and sum(map(body.count, (b"[", b"{", b","))) > most:
        raise PayloadTooLarge(
            f"the JSON holds more than {most:,} values (CONVSERVE_MAX_JSON_VALUES); "
            "send tensors as binary data, or pictures as files"
        )


def parse_json(adapter: TypeAdapter[T], body: bytes) -> T:
    """The body's content.

    Raises:
        InvalidInput: not JSON, or not of the adapter's form; the message says where and what.
    """
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise InvalidInput(f"{where}: {first['msg']}") from error
