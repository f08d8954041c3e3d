"""Heads without an end, and paths with a newline."""

from __future__ import annotations

from tests.attack.attacker import Attack, Attacker, head

PIECE = 1 << 16
MOST = 16 << 20


class HeaderFloods(Attack):
    """A header, a path and a method without an end, headers without number, and many of them in a request."""

    name = "header floods"

    def __init__(self) -> None:
        start = b"GET /livez HTTP/1.1\r\nHost: a\r\n"
        self._endless = (
            (start + b"X: ", b"y" * PIECE),
            (start, b"a:b\r\n" * (PIECE // 5)),
            (b"GET /", b"x" * PIECE),
            (b"", b"G" * PIECE),
            (b"", b"\r\n" * (PIECE // 2)),
        )
        self._many = head("GET", "/livez", *(f"X-{number}: y" for number in range(99)))

    def play(self, attacker: Attacker) -> None:
        for start, piece in self._endless:
            attacker.attempt(attacker.send_endless, start, piece, MOST)
        for _ in range(20):
            attacker.attempt(attacker.send, self._many)
            attacker.pause(0.02)


class NewlinePaths(Attack):
    """Paths that end with a coded newline, or contain other control characters."""

    name = "newlines in paths"

    def play(self, attacker: Attacker) -> None:
        for path in (
            "/metrics%0A",
            "/v2/logging%0A",
            "/v2/logging%0D%0A",
            "/metrics%00",
            "//metrics",
            "/%6detrics",
        ):
            attacker.attempt(attacker.send, head("GET", path))
            attacker.pause(0.05)
