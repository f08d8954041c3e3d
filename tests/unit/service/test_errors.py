"""Values of clients in error messages."""

from __future__ import annotations

import pytest

from service.errors import shortened, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("convnet", "'convnet'"),
        ("a\x1b[31m'", '"a\\x1b[31m\'"'),
        ("x" * 100, f"'{'x' * 100}'"),
        ("x" * 10_000_000, f"'{'x' * 100}'…"),
        (-1, "-1"),
        (True, "True"),
        (None, "None"),
        (1.5, "1.5"),
        (2**127, str(2**127)),
        (10**4299, "an integer of more than 128 bits"),
        (-(10**6000), "an integer of more than 128 bits"),
        ([1, "a", []], "[1, 'a', []]"),
        ((1, 10**5000), "[1, an integer of more than 128 bits]"),
        (range(9), "[0, 1, 2, 3, 4, 5, 6, 7, …]"),
        ({"a": 1}, "a value of type dict"),
        (b"x", "a value of type bytes"),
    ],
    ids=lambda value: str(type(value).__name__),
)
def test_shown(value: object, text: str) -> None:
    assert shown(value) == text


def test_shortened() -> None:
    assert shortened("x" * 100) == "x" * 100
    assert shortened("x" * 101) == "x" * 100 + "…"
