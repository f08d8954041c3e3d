"""The encoder writes common headers and rejects invalid names and control characters."""

from __future__ import annotations

import pytest

from service.http.response_bytes import ResponseEncoder


def test_head_has_the_current_common_headers() -> None:
    encoder = ResponseEncoder()
    for date in (b"Monday", b"Tuesday"):
        head = encoder.head(429, [(b"date", date)], [(b"Content-Length", b"2")])
        assert head == b"HTTP/1.1 429 Too Many Requests\r\ndate: %b\r\ncontent-length: 2\r\n\r\n" % date


def test_unknown_status_has_no_reason_phrase() -> None:
    assert ResponseEncoder().head(499, (), ()) == b"HTTP/1.1 499 \r\n\r\n"


@pytest.mark.parametrize("value", [b"a\r\nb: c", b"a\nb", b"a\rb", b"a\x00", b"\x7f"])
def test_control_character_in_a_value_is_an_error(value: bytes) -> None:
    with pytest.raises(ValueError, match="control character"):
        ResponseEncoder().head(200, (), [(b"x", value)])


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\r\n", b"\xe4"])
def test_invalid_header_name_is_an_error(name: bytes) -> None:
    with pytest.raises(ValueError, match="not a valid header name"):
        ResponseEncoder().head(200, (), [(name, b"x")])


def test_tab_and_bytes_above_ascii_are_allowed_in_a_value() -> None:
    assert b"x: a\tb\xe4\r\n" in ResponseEncoder().head(200, (), [(b"x", b"a\tb\xe4")])
