"""Connections that are held without a complete request."""

from __future__ import annotations

from contextlib import ExitStack

from tests.attack.attacker import Attack, Attacker, head

SOCKETS = 4200
HELD = 10.0
BODIES = 16
BODY = 32 << 20


class IdleSockets(Attack):
    """More connections than both workers accept; half send nothing, half a part of a head."""

    name = "idle sockets"

    def play(self, attacker: Attacker) -> None:
        with ExitStack() as stack:
            for number in range(SOCKETS):
                attacker.attempt(self._open, attacker, stack, number)
                if number % 50 == 0:
                    attacker.pause(0.02)
            attacker.pause(HELD)

    def _open(self, attacker: Attacker, stack: ExitStack, number: int) -> None:
        connection = stack.enter_context(attacker.connect())
        if number % 2:
            connection.sendall(b"GET /livez HTTP/1.1\r\nX-Slow: ")


class HalfBodies(Attack):
    """Sixteen bodies of 32 MiB of which the last byte is missing."""

    name = "half-sent bodies"

    def play(self, attacker: Attacker) -> None:
        start = head("POST", "/classify", "Content-Type: image/png", f"Content-Length: {BODY}")
        with ExitStack() as stack:
            connections = [stack.enter_context(attacker.connect()) for _ in range(BODIES)]
            for connection in connections:
                attacker.attempt(connection.sendall, start + bytes(BODY - 1))
            attacker.pause(HELD)
            for connection in connections:
                connection.settimeout(0.1)
                attacker.attempt(attacker.count_response, connection)
