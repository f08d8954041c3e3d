"""A JSON body read into what a dialect expects of it."""

from __future__ import annotations

from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from ..errors import InvalidInput

T = TypeVar("T")


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
