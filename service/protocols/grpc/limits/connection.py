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

# Bytes of headers before the message of a call and before one of a stream, and the part of a message that the
# headers of frames and TLS are. More would let clients hide bytes behind many small messages.
CALL_OVERHEAD = 256
STREAM_OVERHEAD = 32
OVERHEAD_SHARE = 512
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
        # Bytes that had arrived when they were last counted, None if unknown, and those of them in no
        # complete message. Messages that are complete before they are counted make this negative.
        self._received: int | None = 0
        self._held = 0

    def deliver(self, size: int, *, streaming: bool = False) -> None:
        """A message of this size is complete; its call is charged for it from now on."""
        self._held -= size + size // OVERHEAD_SHARE + (STREAM_OVERHEAD if streaming else CALL_OVERHEAD)
        if self._account is not None:
            self._account.release(COPIES * size)

    def abandon(self) -> None:
        """A message will never be complete; the library drops what has arrived of it."""
        if self._account is None:
            self._received = None

    def charge(
        self, budget: ClientBudget, state: TcpState | None, incomplete: list[Call], max_message: int
    ) -> None:
        """Charge what has arrived and is not part of a complete message.

        Args:
            state: the connection's; None if it is unknown, and each call may hold a whole message.
            incomplete: the calls whose message is incomplete.

        Raises:
            BudgetExceeded, PayloadTooLarge: the library may hold no more.
        """
        account, limit = self._account, 2 * max_message
        before = self._received
        if account is None:
            account = self._account = budget.account(incomplete[0].client)
            if state is not None and before is not None and state.received - before > limit:
                before = None  # so many complete messages that their headers have an unknown size
        if state is None:
            self._held = len(incomplete) * max_message
        else:
            self._held = 0 if before is None else max(0, self._held + state.received - before)
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
        self.settle(None)

    def settle(self, state: TcpState | None) -> None:
        """Release everything, as no message is incomplete; the state is None if it is unknown."""
        self._held = 0
        self._received = None if state is None else state.received
        account, self._account = self._account, None
        if account is not None:
            account.close()
