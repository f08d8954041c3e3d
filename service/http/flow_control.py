"""Backpressure of one connection, in both directions."""

from __future__ import annotations

import asyncio


class FlowControl:
    """Pauses reading while a body is not consumed, and writing while the client does not read."""

    __slots__ = ("_transport", "_writable", "read_paused")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._writable: asyncio.Event | None = None  # None while writing is not paused
        self.read_paused = False

    @property
    def write_paused(self) -> bool:
        return self._writable is not None

    def pause_reading(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self.read_paused:
            self.read_paused = False
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = asyncio.Event()

    def resume_writing(self) -> None:
        if self._writable is not None:
            self._writable.set()
            self._writable = None

    async def drain(self) -> None:
        """Wait until the transport accepts more bytes, or the connection is lost."""
        if self._writable is not None:
            await self._writable.wait()
