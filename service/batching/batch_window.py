"""Decides how long a batch waits for more rows after it could start."""

from __future__ import annotations

# Share of a run's time: enough to write the responses of a batch and to read the next requests.
PAUSE_SHARE = 0.05


class BatchWindow:
    """Delays a batch for rows that are certain to arrive, and for others up to `max_delay`.

    Args:
        max_delay: seconds that a batch waits for rows that may not arrive.
        wait_per_row: seconds, per waiting row, that a batch waits for the rows expected when it could start.
            With the run time of one row, no row waits longer than its batch would run.
    """

    __slots__ = ("_awaited", "_expected", "_wait_per_row", "max_delay")

    def __init__(self, max_delay: float, wait_per_row: float) -> None:
        self.max_delay = max_delay
        self._wait_per_row = wait_per_row
        self._expected = 0
        self._awaited = 0

    def expect_rows(self, rows: int) -> None:
        """Announce rows that are being prepared; each is reported later by `rows_ready`."""
        self._expected += rows

    def rows_ready(self, rows: int) -> bool:
        """Note that expected rows have arrived or never will; True if they end the wait of a batch."""
        self._expected -= rows
        if not self._awaited:
            return False
        self._awaited = max(0, self._awaited - rows)
        return not self._awaited

    def open(self) -> None:
        """Start the wait of a batch. It covers the rows expected now: with later ones it might not end."""
        self._awaited = self._expected if self._wait_per_row else 0

    def delay(self, rows: int) -> float:
        """Seconds from `open` to the start of the batch, while `rows` rows wait."""
        if not self._awaited:
            return self.max_delay
        return max(self.max_delay, self._wait_per_row * rows)

    def pause(self, run_seconds: float) -> float:
        """Seconds after a run for which the rows that already wait are held back.

        Clients that send their next request at once all do so after the same run. Without the pause, a
        client that is slightly late would get a batch of its own, the others would miss that batch, and
        this would repeat forever.
        """
        return PAUSE_SHARE * run_seconds if self._wait_per_row else 0.0
