"""Watches a server from a process of its own, which an attack in Python does not disturb.

`python -m tests.support.watcher.watcher_process PID HOST PORT TLS` prints a line when it has begun. When its
input closes it prints a `Report` as JSON and ends.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import asdict, dataclass
from functools import partial

from tests.support.watcher.control import control_process
from tests.support.watcher.polling import HttpProbe, excess, pollers
from tests.support.watcher.process_tree import ProcessTree

MEMORY_INTERVAL = 0.02
FIRST_SAMPLES = 3
SHOWN_FAILURES = 5


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a watched server; sizes in bytes, times in seconds.

    Attributes:
        start, peak: memory of the process tree at the start, and the most of it.
        longest_wait: the longest wait beyond that for which the load of the machine is to blame.
        longest_raw_wait, longest_control_wait: the longest waits as they were measured.
        polls: the number of requests to the server.
        failures: the first of the probes that got no 200.
    """

    start: int
    peak: int
    longest_wait: float
    longest_raw_wait: float
    longest_control_wait: float
    polls: int
    failures: list[str]


def watch(pid: int, address: tuple[str, int], *, tls: bool) -> Report:
    tree = ProcessTree(pid)
    ended = threading.Event()
    with control_process() as control_address:
        server = pollers(partial(HttpProbe, address, tls=tls), tree.queues)
        controls = pollers(partial(HttpProbe, control_address))
        for poller in [*server, *controls]:
            poller.start()
        start = min(_sample(tree) for _ in range(FIRST_SAMPLES))
        peak = start
        threading.Thread(target=_wait_for_end, args=(ended,), daemon=True).start()
        print("begun", flush=True)
        while not ended.is_set():
            peak = max(peak, _sample(tree))
        for poller in server:
            poller.stop()
        while any(poller.is_alive() for poller in server):
            peak = max(peak, _sample(tree))
        for poller in controls:
            poller.stop()
            poller.join()
    polls = [poll for poller in server for poll in poller.polls]
    control_polls = [poll for poller in controls for poll in poller.polls]
    return Report(
        start=start,
        peak=peak,
        longest_wait=excess(polls, control_polls),
        longest_raw_wait=max(poll.wait for poll in polls),
        longest_control_wait=max(poll.wait for poll in control_polls),
        polls=len(polls),
        failures=[poll.failure for poll in polls if poll.failure][:SHOWN_FAILURES],
    )


def _sample(tree: ProcessTree) -> int:
    time.sleep(MEMORY_INTERVAL)
    return tree.private_bytes()


def _wait_for_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


if __name__ == "__main__":
    own_pid, host, port, with_tls = sys.argv[1:]
    report = watch(int(own_pid), (host, int(port)), tls=with_tls == "tls")
    print(json.dumps(asdict(report)))
