"""Slots for calls in progress, shared between the clients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from ....errors import Overloaded

# Part of the slots that only clients with few calls may use, so that one client cannot take all.
RESERVED_SHARE = 1 / 8
# A client has few calls up to this part of the slots.
FEW_SHARE = 1 / 64


class Slots:
    """A limit on calls of one kind.

    While less than half of the slots are taken, any client gets one. Beyond that, a client with more than a
    few calls gets no more than an equal share, and the last part is reserved for clients with few.

    Args:
        limit: the number of slots.
        kind: for the error message.
    """

    def __init__(self, limit: int, kind: str) -> None:
        self.taken = 0
        self._limit = limit
        self._kind = kind
        self._uncontended = limit // 2
        self._unreserved = limit - max(1, int(limit * RESERVED_SHARE)) if limit > 1 else limit
        self._few = max(1, int(limit * FEW_SHARE))
        self._by_client: Counter[Hashable] = Counter()

    def take(self, client: Hashable) -> None:
        """
        Raises:
            Overloaded: the client gets no slot now.
        """
        if self.taken >= self._uncontended and not self._fits(client):
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

    def _fits(self, client: Hashable) -> bool:
        own = self._by_client.get(client, 0)
        if own < self._few:
            return self.taken < self._limit
        clients = sum(1 for each in self._by_client.values() if each >= self._few)
        return self.taken < self._unreserved and own < self._unreserved // clients
