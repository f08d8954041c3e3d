"""Bytes of a chunked request that belong neither to its head nor to its body."""

from __future__ import annotations

from tests.attack.attacker import Attack, Attacker, head

CHUNKED = head("POST", "/classify", "Content-Type: image/png", "Transfer-Encoding: chunked")
PIECE = 1 << 16
MOST = 64 << 20  # bytes of a round, if the server takes all of them


class Trailers(Attack):
    """Fields after the last chunk without an end: many small ones, and one without an end of its own."""

    name = "trailers"

    def __init__(self) -> None:
        self._many = b"".join(b"X-%d: y\r\n" % number for number in range(PIECE // 10))

    def play(self, attacker: Attacker) -> None:
        attacker.attempt(attacker.send_endless, CHUNKED + b"1\r\nx\r\n0\r\n", self._many, MOST)
        attacker.attempt(attacker.send_endless, CHUNKED + b"0\r\nX-Long: ", b"y" * PIECE, MOST)
        attacker.pause(0.2)


class ChunkExtensions(Attack):
    """An extension of a chunk without an end, and a chunk of one byte with a long extension, often."""

    name = "chunk extensions"

    def __init__(self) -> None:
        self._many = (b"1;" + b"x" * 1000 + b"\r\ny\r\n") * (PIECE // 1000)
        self._small = b"1;a=b\r\nx\r\n" * (PIECE // 10)

    def play(self, attacker: Attacker) -> None:
        attacker.attempt(attacker.send_endless, CHUNKED + b"1;", b"x" * PIECE, MOST)
        attacker.attempt(attacker.send_endless, CHUNKED, self._many, MOST)
        attacker.attempt(attacker.send_endless, CHUNKED, self._small, MOST)
        attacker.pause(0.2)
