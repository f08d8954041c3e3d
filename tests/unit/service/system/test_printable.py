from __future__ import annotations

import pytest

from service.system.printable import printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ente, 鴨, 🦆 and ½", "Ente, 鴨, 🦆 and ½"),
        ("\x1b[2Jred\x1b]0;title\x07", r"\x1b[2Jred\x1b]0;title\x07"),
        ("two\nlines\r", r"two\nlines\r"),
        ("\x9b31m\u202e\ud800", r"\x9b31m\u202e\ud800"),
    ],
)
def test_only_what_a_terminal_shows_is_left(text: str, expected: str) -> None:
    assert printable(text) == expected
