"""Slots for calls in progress, shared between the clients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from ....client_budget import FairShare
from ....errors import Overloaded


class Slots:
    """A limit on calls of one kind.

    The clients have fair shares of the slots.

    Args:
        limit: the number of slots.
        kind: for the error message.
    """

    def __init__(self, limit: int, kind: str) -> None:
        self.taken = 0
        self._kind = kind
        self._share = FairShare(limit, reserved=max(1, limit // 8) if limit > 1 else 0)
        self._by_client: Counter[Hashable] = Counter()

    def take(self, client: Hashable) -> None:
        """
        Raises:
            Overloaded: the client gets no slot now.
        """
        if not self._share.fits(self.taken, self._by_client.get(client, 0), 1, self._sharers):
            raise Overloaded(
                f"too many {self._kind} are in progress (CONVSERVE_MAX_CONNECTIONS)", retry_after=1.0
            )
        self.taken += 1
        self._by_client[client] += 1

    def release(self, client: Hashable) -> None:
        """Release one slot of the client."""
        self.taken -= 1
        if self._by_client[client] == 1:
            del self._by_client[client]
        else:
            self._by_client[client] -= 1

    def _sharers(self) -> int:
        return sum(1 for each in self._by_client.values() if each >= self._share.little)
