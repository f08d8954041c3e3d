"""Backpressure of one connection, in both directions."""

from __future__ import annotations

import asyncio

from ..client_budget import Account
from ..errors import BudgetExceeded, PayloadTooLarge

# A response waits in the transport up to this size; the rest of it waits in the application.
WRITE_BUFFER_BYTES = 16 * 1024


class FlowControl:
    """Pauses reading while a body is not consumed, and writing while the client does not read.

    Bytes that the client does not read are charged to the connection's account while writing is paused.

    Attributes:
        read_paused, write_paused: whether reading, or writing, is paused.
    """

    __slots__ = ("_account", "_charged", "_transport", "_writable", "read_paused", "write_paused")

    def __init__(self, transport: asyncio.Transport, account: Account) -> None:
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._transport = transport
        self._account = account
        self._charged = 0
        self._writable: asyncio.Event | None = None  # None while writing is not paused
        self.read_paused = False
        self.write_paused = False

    def pause_reading(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self.read_paused:
            self.read_paused = False
            self._transport.resume_reading()

    def pause_writing(self) -> bool:
        """Stop writing, and charge what is written and not sent; False if the budget has no room for it."""
        if self._writable is None:
            self._writable = asyncio.Event()
            self.write_paused = True
        unsent = self._transport.get_write_buffer_size()
        try:
            self._account.charge(unsent)
        except (BudgetExceeded, PayloadTooLarge):
            return False
        self._charged += unsent
        return True

    def resume_writing(self) -> None:
        self._account.release(self._charged)
        self._charged = 0
        if self._writable is not None:
            self._writable.set()
            self._writable = None
            self.write_paused = False

    async def drain(self) -> None:
        """Wait until the transport accepts more bytes, or the connection is lost."""
        if self._writable is not None:
            await self._writable.wait()
