"""Requests behind one that takes long."""

from __future__ import annotations

from tests.attack.attacker import Attack, Attacker, head, post
from tests.attack.attackers.large_images import flat_png

REQUEST = b"GET /livez HTTP/1.1\r\nHost:a\r\n\r\n"
PIECE = REQUEST * 2000
MOST = 16 << 20
READ = 1 << 20


class Pipelining(Attack):
    """16 MB of small requests, first behind an image of 50 megapixels and then behind half a body."""

    name = "pipelining"

    def __init__(self) -> None:
        self._slow = post("/classify", flat_png("L"), "Content-Type: image/png")

    def play(self, attacker: Attacker) -> None:
        attacker.attempt(_pipeline, attacker, self._slow)
        attacker.attempt(_pipeline, attacker, REQUEST)
        attacker.attempt(_pipeline, attacker, head("POST", "/classify", f"Content-Length: {MOST + 1}"))
        attacker.pause(0.5)


def _pipeline(attacker: Attacker, first: bytes) -> None:
    """Sends everything before anything is read; a server that stops reading ends it by the time-out."""
    with attacker.connect() as connection:
        connection.settimeout(5.0)
        connection.sendall(first)
        for _ in range(MOST // len(PIECE)):
            connection.sendall(PIECE)
        while connection.recv(READ):
            attacker.outcomes["read"] += 1
