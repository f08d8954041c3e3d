"""The link between a worker process and its supervisor: heartbeats one way, an end and a signal the other."""

from __future__ import annotations

import asyncio
import mmap
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence

# Tells a worker to stop without `drain_delay_s`. Workers ignore SIGINT, and SIGTERM includes the delay.
STOP_IMMEDIATELY = signal.SIGUSR1
BEAT_SECONDS = 0.25
CHECK_SECONDS = 0.5


class Heartbeats:
    """A counter for each worker, in memory that forked processes share with the process that creates it."""

    def __init__(self, workers: int) -> None:
        self._counts = memoryview(mmap.mmap(-1, 8 * workers)).cast("Q")

    def beat(self, index: int) -> None:
        self._counts[index] += 1

    def reset(self, index: int) -> None:
        """Set the counter of a worker that is about to start to 0."""
        self._counts[index] = 0

    def count(self, index: int) -> int:
        """The beats of a worker."""
        return self._counts[index]


class SilenceDetector:
    """Finds the workers whose counter has not changed for `timeout` seconds.

    It adds up the time between its own checks, of which each counts little: after a stop of the whole process
    group, or of the machine, no worker has been silent for long.
    """

    def __init__(self, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout = timeout
        self._longest_step = min(2 * CHECK_SECONDS, timeout / 2)
        self._clock = clock
        self._checked = clock()
        self._counts: dict[int, int] = {}
        self._silent_for: dict[int, float] = {}

    def silent(self, counts: Mapping[int, int]) -> Sequence[int]:
        """The indexes of the silent workers, given the counters of all."""
        now = self._clock()
        step = min(now - self._checked, self._longest_step)
        self._checked = now
        for index, count in counts.items():
            unchanged = self._counts.get(index) == count
            self._silent_for[index] = self._silent_for.get(index, 0.0) + step if unchanged else 0.0
        self._counts = dict(counts)
        return [index for index in counts if self._silent_for[index] >= self._timeout]


class WorkerLink:
    """A worker's end of the link.

    Args:
        supervisor_alive: a file descriptor that becomes readable when the supervisor has exited.
        beat: tells the supervisor that this process works.
    """

    def __init__(self, supervisor_alive: int, beat: Callable[[], None]) -> None:
        self._supervisor_alive = supervisor_alive
        self._beat = beat
        self._attached = threading.Event()

    def start(self) -> None:
        """Beat while models load: no event loop could, but the libraries let other threads run."""
        threading.Thread(target=self._beat_while_loading, name="heartbeat", daemon=True).start()

    def attach(self, stop: Callable[[], None]) -> None:
        """Beat as long as this event loop runs; call `stop` when the supervisor says so or has exited."""
        loop = asyncio.get_running_loop()

        def on_supervisor_exit() -> None:
            loop.remove_reader(self._supervisor_alive)  # it stays readable
            stop()

        def beat() -> None:
            self._beat()
            loop.call_later(BEAT_SECONDS, beat)

        loop.add_reader(self._supervisor_alive, on_supervisor_exit)
        signal.signal(STOP_IMMEDIATELY, lambda sig, frame: loop.call_soon_threadsafe(stop))
        self._attached.set()
        beat()

    def _beat_while_loading(self) -> None:
        while not self._attached.wait(BEAT_SECONDS):
            self._beat()
