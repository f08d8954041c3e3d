"""A line on the terminal that shows how far a run is."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from typing import TextIO

REFRESH_SECONDS = 0.2
# Time in each call that goes into counting the files.
COUNT_SECONDS = 0.002
# The rate is that of about this time.
RATE_SECONDS = 5.0
_CLEAR = "\r\x1b[K"


class Progress:
    """Shows the number of files that are done, their rate and the time that is left, on one line.

    Args:
        stream: a terminal.
        count: the number of files so far, for each file of a listing; the total is the last. None if they
            cannot be counted.
        kept: files with a row of an earlier run, which count as done.

    Attributes:
        done, failed: files that are done, and those of them that could not be classified.
    """

    def __init__(self, stream: TextIO, count: Iterator[int] | None, *, kept: int, failed: int) -> None:
        self._stream = stream
        self._count = count
        self._total: int | None = None
        self._counted = 0
        self.done = kept
        self.failed = failed
        self._started = self._shown = time.monotonic()
        self._rate = 0.0
        self._last = self._started, kept
        self._visible = False

    def tick(self) -> None:
        """Count for a while, and refresh the line from time to time; to be called often."""
        now = time.monotonic()
        self._advance(now)
        if now - self._shown >= REFRESH_SECONDS:
            self._shown = now
            self._measure(now)
            columns = shutil.get_terminal_size().columns
            self._stream.write(_CLEAR + self._text()[: columns - 1])
            self._stream.flush()
            self._visible = True

    def clear(self) -> None:
        """Remove the line, so that other text can be printed."""
        if self._visible:
            self._visible = False
            self._stream.write(_CLEAR)
            self._stream.flush()

    def _advance(self, now: float) -> None:
        if self._count is None or self._total is not None:
            return
        for counted in self._count:
            self._counted = counted
            if time.monotonic() > now + COUNT_SECONDS:
                return
        self._total = self._counted

    def _measure(self, now: float) -> None:
        then, done = self._last
        seconds = now - then
        rate = (self.done - done) / seconds
        weight = min(1.0, seconds / RATE_SECONDS)
        self._rate = rate if not self._rate else self._rate + weight * (rate - self._rate)
        self._last = now, self.done

    def _text(self) -> str:
        parts = [f"{self.done:,} images"]
        if self._total is not None and self._total >= self.done:
            share = self.done / self._total if self._total else 1.0
            parts = [f"{self.done:,} of {self._total:,} images ({share:.0%})"]
        parts.append(f"{self._rate:,.0f}/s" if self._rate >= 10 else f"{self._rate:.1f}/s")
        if self._total is not None and self._rate and self._total > self.done:
            parts.append(f"{duration((self._total - self.done) / self._rate)} left")
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        return "convserve: " + ", ".join(parts)


def duration(seconds: float) -> str:
    """Seconds as people read them: `4 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
