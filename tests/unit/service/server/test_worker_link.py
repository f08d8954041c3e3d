from __future__ import annotations

import subprocess
import sys

from service.server.worker_link import CHECK_SECONDS, SilenceDetector
from tests.support.manual_clock import ManualClock
from tests.support.server.output_lines import DEADLINE

TIMEOUT = 10.0


class Watched:
    """A detector whose checks are as far apart as the test says."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.detector = SilenceDetector(TIMEOUT, self.clock)

    def check(self, counts: dict[int, int], after: float = CHECK_SECONDS) -> list[int]:
        self.clock.advance(after)
        return list(self.detector.silent(counts))

    def checks_until_silent(self, counts: dict[int, int]) -> int:
        return next(number for number in range(1, 1000) if self.check(counts))


def test_worker_without_beats_is_silent_after_the_timeout() -> None:
    watched = Watched()
    assert watched.check({0: 5, 1: 5}) == []
    beats = iter(range(6, 1000))
    while not (found := watched.check({0: 5, 1: next(beats)})):
        assert watched.clock() <= TIMEOUT + CHECK_SECONDS
    assert found == [0]
    assert watched.clock() >= TIMEOUT


def test_a_beat_ends_the_silence() -> None:
    watched = Watched()
    whole = watched.checks_until_silent({0: 5})
    assert watched.check({0: 6}) == []
    assert watched.checks_until_silent({0: 6}) == whole - 1


def test_worker_that_never_beats_is_silent() -> None:
    watched = Watched()
    assert watched.checks_until_silent({0: 0}) == watched.checks_until_silent({1: 0})


def test_replaced_worker_begins_anew() -> None:
    watched = Watched()
    whole = watched.checks_until_silent({0: 5})
    assert watched.check({0: 0}) == []
    assert watched.checks_until_silent({0: 5}) == whole


def test_stop_of_the_whole_group_makes_no_worker_silent() -> None:
    """The supervisor wakes up first, before any worker beats."""
    watched = Watched()
    watched.check({0: 5})
    assert watched.check({0: 5}, after=3600.0) == []
    assert watched.check({0: 5}) == []
    assert watched.check({0: 6}) == []


# In a process of its own, which has no threads that a fork could disturb.
FORK = """
import os
from service.server.worker_link import Heartbeats
heartbeats = Heartbeats(2)
if os.fork() == 0:
    heartbeats.beat(1)
    os._exit(0)
os.wait()
print(heartbeats.count(0), heartbeats.count(1))
heartbeats.reset(1)
print(heartbeats.count(1))
"""


def test_beats_of_a_forked_process_are_counted() -> None:
    result = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, text=True, timeout=DEADLINE, check=True
    )
    assert result.stdout.splitlines() == ["0 1", "0"]
