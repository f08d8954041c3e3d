"""Shares a limited amount between clients: bytes, places in a queue, or calls."""

from __future__ import annotations

from collections.abc import Callable


class FairShare:
    """Decides what a client may have of a limited amount.

    Up to half of the limit, any client gets what it asks for. Beyond that, a client with more than a little
    gets no more than an equal share, and a part is reserved for clients with little.

    Attributes:
        limit: the whole amount.
        uncontended: the amount up to which everything fits.
        unreserved: the amount that clients with more than a little may have together.
        little: a client with at most this amount has little: a sixty-fourth of the limit.
    """

    __slots__ = ("limit", "little", "uncontended", "unreserved")

    def __init__(self, limit: int, reserved: int) -> None:
        """`reserved` is the part for clients with little."""
        self.limit = limit
        self.uncontended = limit // 2
        self.unreserved = limit - reserved
        self.little = max(1, limit // 64)

    def fits(self, taken: int, own: int, more: int, sharers: Callable[[], int]) -> bool:
        """True if a client may have `more` in addition.

        Args:
            taken: the amount that all clients have.
            own: the part of it that the client has.
            sharers: returns the number of clients with more than a little, this one included.
        """
        total = taken + more
        if total <= self.uncontended:
            return True
        if own + more <= self.little:
            return total <= self.limit
        return total <= self.unreserved and own + more <= self.unreserved // max(1, sharers())
