"""A connection of gRPC, and the bytes of it that the library holds."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from functools import partial
from typing import TYPE_CHECKING

from ....client_budget import Account, ClientBudget
from ....client_budget.identity import address_identity
from ....errors import BudgetExceeded, ConvserveError, PayloadTooLarge
from ....system.tcp_connections import TcpState, peer_address

if TYPE_CHECKING:
    from .calls import Call

# Bytes of frames and headers around a message.
OVERHEAD_BYTES = 512
# The library copies a message when it is complete.
COPIES = 2
_EVICTED = "the message arrives too slowly for a busy server (CONVSERVE_CLIENT_BUDGET_BYTES); try again later"


class Connection:
    """A connection with calls in progress, or with recent ones.

    The library collects each message until it is complete. What has arrived on the connection and is not part
    of a complete message is charged to an account of the connection.

    Attributes:
        address: the peer's host and port; None if the library gives none.
        client: the identity of the peer.
        calls: the number of calls in progress.
        closed: the server has closed the connection; calls that arrived before may still begin.
        credit: the cancelled calls that its answered calls make up for.
        peer: the library's name of the peer.
        requests: the number of calls that have received a message and not yet answered it.
        decompressing: held while a message is decompressed, so that one client decompresses one at a time.
    """

    __slots__ = (
        "_account",
        "_held",
        "_received",
        "address",
        "calls",
        "client",
        "closed",
        "credit",
        "decompressing",
        "peer",
        "requests",
    )

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.address = peer_address(peer)
        self.client: Hashable = peer if self.address is None else address_identity(self.address[0])
        self.calls = 0
        self.closed = False
        self.credit = 0
        self.requests = 0
        self.decompressing = asyncio.Lock()
        self._account: Account | None = None
        self._received = 0
        self._held = 0

    def deliver(self, size: int) -> None:
        """A message of this size is complete; its call is charged for it from now on."""
        if self._account is not None:
            self._held -= size + OVERHEAD_BYTES  # negative until the next charge counts the rest of it
            self._account.release(COPIES * size)

    def charge(
        self, budget: ClientBudget, state: TcpState | None, incomplete: list[Call], max_message: int
    ) -> None:
        """Charge what has arrived since the last time; the first time, all of it if the connection is young.

        Args:
            state: the connection's; None if it is unknown, and each call may hold a whole message.
            incomplete: the calls whose message is incomplete.

        Raises:
            BudgetExceeded, PayloadTooLarge: the library may hold no more.
        """
        account, limit = self._account, 2 * max_message
        if account is None:
            account = self._account = budget.account(incomplete[0].client)
            self._held = 0
            self._received = 0 if state is None or state.received <= limit else state.received
        if state is None:
            self._held = len(incomplete) * max_message
        else:
            self._held = max(0, self._held + state.received - self._received)
            self._received = state.received
        if self._held > limit:
            raise PayloadTooLarge(
                f"more than {limit:,} bytes of incomplete messages have arrived on the connection"
            )
        account.evict = partial(self._evict, incomplete)
        needed = COPIES * self._held
        if needed > account.held:
            account.charge(needed - account.held)
        else:
            account.release(account.held - needed)

    def _evict(self, incomplete: list[Call]) -> None:
        self.refuse(incomplete, BudgetExceeded(_EVICTED, retry_after=1.0))

    def refuse(self, incomplete: list[Call], error: ConvserveError) -> None:
        """End the calls whose message is incomplete; the library then drops what it has of them."""
        for call in incomplete:
            call.fail(error)
        self.settle()

    def settle(self) -> None:
        """Release everything, as no message is incomplete."""
        account, self._account = self._account, None
        if account is not None:
            account.close()
