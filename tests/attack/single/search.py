"""Looks for a single connection that costs the server too much memory or others too much time."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.attack.single.grpc_scripts import grpc_script
from tests.attack.single.http_scripts import http_script
from tests.attack.single.script import Port, Script
from tests.support.server.server_process import FREE_GRPC_PORT, ServerProcess
from tests.support.server.watched import MAX_GROWTH, MAX_GROWTH_OF_A_LARGE_IMAGE, MAX_WAIT, MEBIBYTE, watched

SHARE_OF_GRPC = 0.3
EACH = 4.0  # seconds after which a connection is closed


@dataclass(frozen=True, slots=True)
class Finding:
    """One connection and what it cost; `seed` makes the same connection again."""

    seed: int
    script: Script
    outcome: str
    growth: int
    wait: float
    failures: list[str]

    @property
    def is_harmful(self) -> bool:
        most = MAX_GROWTH_OF_A_LARGE_IMAGE if "image" in self.script.name else MAX_GROWTH
        return self.growth > most or self.wait > MAX_WAIT or bool(self.failures)

    def __str__(self) -> str:
        cost = f"{self.growth / MEBIBYTE:+6.0f} MiB {1000 * self.wait:7.0f} ms"
        return (
            f"seed {self.seed}: {cost}  {self.outcome}; {self.script.port}; reads {self.script.reading}; "
            f"{self.script.name}" + "".join(f"; {failure}" for failure in self.failures[:1])
        )


def script_of(seed: int) -> Script:
    draw = random.Random(seed)
    return grpc_script(draw) if draw.random() < SHARE_OF_GRPC else http_script(draw)


def search(first_seed: int, seconds: float, models: Path | None = None) -> Iterator[Finding]:
    """Plays random connections against one server for a while."""
    end = time.monotonic() + seconds
    with ServerProcess(models, *FREE_GRPC_PORT) as server:
        host, _, port = server.grpc_address.rpartition(":")
        addresses = {Port.HTTP: server.address, Port.GRPC: (host, int(port))}
        seed = first_seed
        while time.monotonic() < end:
            script = script_of(seed)
            with watched(server) as watch:
                outcome = script.play(addresses[script.port], EACH)
            yield Finding(seed, script, outcome, watch.growth, watch.longest_wait, watch.failures)
            seed += 1
        assert "Traceback" not in server.stderr.text, server.stderr.text
