"""Parses the parameters of a header's value: `form-data; name="images"; filename="a.png"`.

The grammar is that of RFC 9110, section 5.6.6, as RFC 7578, section 4.2, uses it in forms, with extended
values (RFC 8187) in UTF-8 and ISO-8859-1. Every quantifier is possessive, so that the time is linear in the
length of the text, whatever it contains.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from ....errors import InvalidInput

# A boundary has up to 70 characters and a charset a few; a file name has up to 255 bytes, each of which takes
# three characters if it is percent-encoded, and is sent twice if both `filename` and `filename*` are.
MAX_LENGTH = 4096
MAX_PARAMETERS = 16

# A value that begins with a quote but has no closing one is taken as it is, up to the next semicolon.
_PARAMETER = re.compile(
    r';[ \t]*+([^;="]++)(?:=[ \t]*+(?:"([^"\\]*+(?:\\.[^"\\]*+)*+)"[^;]*+|([^;]*+)))?+', re.DOTALL
)
# Browsers write a backslash in a file name without escaping it.
_ESCAPED = re.compile(r'\\(["\\])')
_EXTENDED = re.compile(r"([^']*+)'[^']*+'(.*+)", re.DOTALL)
_CHARSETS = frozenset({"utf-8", "iso-8859-1"})


def parse_parameters(header: str, value: str) -> dict[str, str]:
    """The parameters of the value of a header, by lower-case name; of several with one name the last.

    An extended parameter, `name*`, replaces the one without the asterisk.

    Raises:
        InvalidInput: the value is too long or has too many parameters, or an extended value is malformed.
    """
    if len(value) > MAX_LENGTH:
        raise InvalidInput(f"malformed header {header}: it has more than {MAX_LENGTH:,} characters")
    parameters: dict[str, str] = {}
    extended: dict[str, str] = {}
    for count, match in enumerate(_PARAMETER.finditer(value)):
        if count == MAX_PARAMETERS:
            raise InvalidInput(f"malformed header {header}: it has more than {MAX_PARAMETERS} parameters")
        name, quoted, token = match.groups()
        name = name.strip(" \t").lower()
        if quoted is not None:
            parameters[name] = _ESCAPED.sub(r"\1", quoted) if "\\" in quoted else quoted
        elif not name.endswith("*"):
            parameters[name] = (token or "").strip(" \t")
        else:
            extended[name[:-1]] = _decode_extended(header, name, (token or "").strip(" \t"))
    return parameters | extended


def _decode_extended(header: str, name: str, value: str) -> str:
    """The text of `charset'language'percent-encoded`."""
    match = _EXTENDED.fullmatch(value)
    charset = match[1].lower() if match else ""
    if match is None or charset not in _CHARSETS or not match[2].isascii():
        raise InvalidInput(
            f"malformed header {header}: {name[:20]} must be percent-encoded UTF-8 or ISO-8859-1, "
            "such as filename*=UTF-8''a%20b.png"
        )
    return unquote_to_bytes(match[2]).decode(charset, "replace")
