"""Counts the requests that are bound to a model version."""

from __future__ import annotations

import asyncio


class Leases:
    """A request takes a lease when it finds its model, and gives it back when it ends.

    A version that is not served any more is closed only then, so that every request is answered by the
    version that it has found, also one whose body is still arriving.
    """

    __slots__ = ("_released", "count")

    def __init__(self) -> None:
        self.count = 0
        self._released: asyncio.Event | None = None

    def take(self) -> None:
        self.count += 1

    def give_back(self) -> None:
        self.count -= 1
        if not self.count and self._released is not None:
            self._released.set()

    async def all_returned(self) -> None:
        """Return when no request has a lease; no new one may be taken meanwhile."""
        if self.count:
            self._released = asyncio.Event()
            await self._released.wait()
