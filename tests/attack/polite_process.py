"""The clients whose answers are judged: two polite clients, and probes.

`python -m tests.attack.polite_process PID HTTP_PORT GRPC_PORT` prints a line when it has begun, ends when its
input closes, and then prints `Observed` as JSON.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain

from tests.attack.attacker import TIMEOUT, Address
from tests.attack.http2 import OK, Http2
from tests.attack.polite import Answers, PoliteClient, questions
from tests.support.watcher.control import control_process
from tests.support.watcher.polling import HttpProbe, Poller, Probe, excess, pollers
from tests.support.watcher.process_tree import ProcessTree

INTERVAL = 0.05
SOURCES = ("127.0.0.2", "127.0.0.3")
PROBE_SOURCE = "127.0.0.4"
CHECK = "/grpc.health.v1.Health/Check"
SERVING = b"\x08\x01"
KINDS = ("new", "kept open")
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Probed:
    """The results of a probe: its number, the longest wait, and the first failures."""

    polls: int
    longest_wait: float
    longest_raw_wait: float
    failures: list[str]
    failed: int


@dataclass(frozen=True, slots=True)
class Observed:
    """The results of the polite clients and of the probes, by name."""

    polite: dict[str, Answers]
    probes: dict[str, Probed]


class GrpcProbe:
    """The health check of gRPC over one connection."""

    def __init__(self, address: Address, source: str) -> None:
        self._connection = Http2(socket.create_connection(address, TIMEOUT, (source, 0)))

    def ask(self) -> str:
        status, message = self._connection.unary(CHECK)
        return "" if (status, message) == (OK, SERVING) else f"gRPC status {status}, {message!r}"

    def close(self) -> None:
        self._connection.close()


def observe(server: int, http: Address, grpc: Address) -> Observed:
    clients = [
        PoliteClient(http, source, question) for source, question in zip(SOURCES, questions(), strict=True)
    ]
    with control_process() as control_address:
        controls = pollers(partial(HttpProbe, control_address), interval=INTERVAL / 2)
        probed: dict[str, Callable[[], Probe]] = {
            "/livez": partial(HttpProbe, http, path="/livez", source=PROBE_SOURCE),
            "/readyz": partial(HttpProbe, http, path="/readyz", source=PROBE_SOURCE),
            "gRPC health": partial(GrpcProbe, grpc, PROBE_SOURCE),
        }
        queues = ProcessTree(server).queues
        probes = {name: pollers(connect, queues, INTERVAL) for name, connect in probed.items()}
        asking: list[PoliteClient | Poller] = [*clients, *chain(*probes.values())]
        for thread in [*controls, *asking]:
            thread.start()
        print("begun", flush=True)
        sys.stdin.read()
        for thread in asking:
            thread.stop()
        for thread in asking:
            thread.join()
        for poller in controls:
            poller.stop()
            poller.join()
    return Observed(
        polite={question.name: client.answers for question, client in zip(questions(), clients, strict=True)},
        probes={
            f"{name}, {kind}": _probed(poller, controls)
            for name, pair in probes.items()
            for kind, poller in zip(KINDS, pair, strict=True)
        },
    )


def _probed(poller: Poller, controls: list[Poller]) -> Probed:
    polls = poller.polls
    control = [poll for poller in controls for poll in poller.polls]
    failures = [f"{poll.failure} after {poll.wait:.2f} s" for poll in polls if poll.failure]
    return Probed(
        polls=len(polls),
        longest_wait=excess(polls, control),
        longest_raw_wait=max(poll.wait for poll in polls),
        failures=failures[:SHOWN],
        failed=len(failures),
    )


if __name__ == "__main__":
    pid, http_port, grpc_port = map(int, sys.argv[1:])
    observed = observe(pid, ("127.0.0.1", http_port), ("127.0.0.1", grpc_port))
    print(json.dumps(asdict(observed)), flush=True)
