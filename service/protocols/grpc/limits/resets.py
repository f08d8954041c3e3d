"""A limit on calls that their clients cancel at once.

A client that opens streams and resets them without waiting makes the server work and receives nothing, so
neither the number of calls at a time nor the bytes of responses limit it (CVE-2023-44487). Honest clients
cancel as well: a user leaves, a hedged request is decided, a proxy passes on the cancellations of many. So
only a connection is closed that has cancelled more calls than were answered, of a client that does so often.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from .connection import Connection

# Cancelled calls of a client, beyond those that answered calls make up for: at once, and per second.
BURST = 200
RATE = 100.0
# Keeps sums of fractions from deciding.
ROUNDING = 0.01
# A connection's answered calls make up for this many cancelled ones.
MAX_CREDIT = 100
# A call that has lasted longer counts as neither: the number of calls at a time limits these.
SHORT_SECONDS = 1.0
# A call that ends by its deadline is cancelled at once only if the deadline was shorter.
MIN_DEADLINE_SECONDS = 0.05
# A connection of a client that has cancelled too many may have this many calls more than were answered.
FEW_CALLS = 4
# Clients that are remembered; the one whose last cancelled call is the oldest is forgotten first.
MAX_CLIENTS = 1024


def is_reset(lasted: float, remaining: float | None) -> bool:
    """True if a call without a response was cancelled at once.

    Args:
        lasted: its seconds.
        remaining: the seconds until its deadline; None without one.
    """
    expired = remaining is not None and remaining <= 0
    return lasted < (MIN_DEADLINE_SECONDS if expired else SHORT_SECONDS)


class ResetLimit:
    """A token bucket for each client, which keeps its level when the client reconnects.

    Args:
        now: the time in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        # When each bucket will be full again; the last is the client of the latest cancelled call.
        self._full_at: dict[Hashable, float] = {}

    def answer(self, connection: Connection) -> None:
        """Count a call that was answered."""
        if connection.credit < MAX_CREDIT:
            connection.credit += 1

    def exhausted(self, client: Hashable) -> bool:
        """True if the client's bucket has no room for another cancelled call."""
        latest = self._now() + (BURST - 1 + ROUNDING) / RATE
        return self._full_at.get(client, 0.0) > latest

    def must_wait(self, connection: Connection) -> bool:
        """True if the connection may have no further call until others are answered."""
        few = connection.calls < connection.credit + FEW_CALLS
        return not few and self.exhausted(connection.client)

    def exceeds(self, connection: Connection) -> bool:
        """Count a call that was cancelled at once; True if the connection must be closed."""
        if connection.credit > 0:
            connection.credit -= 1
            return False
        now = self._now()
        exceeded = self.exhausted(connection.client)
        full_at = max(now, self._full_at.pop(connection.client, now))
        self._full_at[connection.client] = full_at if exceeded else full_at + 1 / RATE
        if len(self._full_at) > MAX_CLIENTS:
            del self._full_at[next(iter(self._full_at))]
        return exceeded
