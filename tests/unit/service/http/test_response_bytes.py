"""Heads of responses: headers in common, names, and bytes that would end a line."""

from __future__ import annotations

import pytest

from service.http.response_bytes import ResponseEncoder


def test_a_head_holds_the_common_headers_of_the_moment() -> None:
    encoder = ResponseEncoder()
    for date in (b"Monday", b"Tuesday"):
        head = encoder.head(429, [(b"date", date)], [(b"Content-Length", b"2")])
        assert head == b"HTTP/1.1 429 Too Many Requests\r\ndate: %b\r\ncontent-length: 2\r\n\r\n" % date


def test_a_status_without_a_phrase_has_none() -> None:
    assert ResponseEncoder().head(499, (), ()) == b"HTTP/1.1 499 \r\n\r\n"


@pytest.mark.parametrize("value", [b"a\r\nb: c", b"a\nb", b"a\rb", b"a\x00", b"\x7f"])
def test_a_control_character_in_a_value_is_an_error(value: bytes) -> None:
    with pytest.raises(ValueError, match="control character"):
        ResponseEncoder().head(200, (), [(b"x", value)])


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\r\n", b"\xe4"])
def test_a_name_that_is_no_token_is_an_error(name: bytes) -> None:
    with pytest.raises(ValueError, match="not a valid header name"):
        ResponseEncoder().head(200, (), [(name, b"x")])


def test_a_tab_and_bytes_above_ascii_are_allowed_in_a_value() -> None:
    assert b"x: a\tb\xe4\r\n" in ResponseEncoder().head(200, (), [(b"x", b"a\tb\xe4")])
