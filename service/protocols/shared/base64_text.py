"""Bytes as text: base64, with or without the prefix of a data: URI (RFC 2397)."""

from __future__ import annotations

import binascii
import re

from ...errors import InvalidInput

_DATA_URI = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)


def decode_base64(text: str, where: str) -> bytes:
    """The bytes; white space in the text is passed over.

    Raises:
        InvalidInput: it is not base64; the message begins with `where`.
    """
    prefix = _DATA_URI.match(text)
    encoded = text[prefix.end() :] if prefix else text
    try:
        return binascii.a2b_base64("".join(encoded.split()), strict_mode=True)
    except ValueError as error:
        raise InvalidInput(f"{where} is not valid base64: {error}") from error
