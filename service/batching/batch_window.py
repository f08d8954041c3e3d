"""How long a batch that could leave waits for more rows."""

from __future__ import annotations

# Of a run's time: enough to write the answers of a batch and to read the next requests.
PAUSE = 0.05


class BatchWindow:
    """Rows that are on their way to a batch: those that were announced will come, others may not.

    Args:
        max_delay: seconds to wait for whoever may come.
        patience: seconds, for each row that is there, to wait for those that were announced when the batch
            could have left. With the time that one row takes, nobody waits longer than his batch would run.
    """

    __slots__ = ("_announced", "_awaited", "_wait_per_row", "max_delay")

    def __init__(self, max_delay: float, wait_per_row: float) -> None:
        self.max_delay = max_delay
        self._wait_per_row = wait_per_row
        self._announced = 0
        self._awaited = 0

    def expect_rows(self, rows: int) -> None:
        """So many are on their way."""
        self._announced += rows

    def rows_ready(self, rows: int) -> bool:
        """So many of them are there, or will never be; whether they were the last that a batch waited for."""
        self._announced -= rows
        if not self._awaited:
            return False
        self._awaited = max(0, self._awaited - rows)
        return not self._awaited

    def gather(self) -> None:
        """A batch could leave: it waits for those announced by now; for later ones it might wait for ever."""
        self._awaited = self._announced if self._wait_per_row else 0

    def delay(self, rows: int) -> float:
        """How long after that it leaves, `rows` rows being there."""
        if not self._awaited:
            return self.max_delay
        return max(self.max_delay, self._wait_per_row * rows)

    def pause(self, seconds: float) -> float:
        """How long after a run of so many seconds those who wait already wait for those who were answered.

        Clients that ask again at once come back together. Else one who came late would run alone, the others
        meanwhile would come too late for him, and so on for ever.
        """
        return PAUSE * seconds if self._wait_per_row else 0.0
