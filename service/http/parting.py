"""One connection under uvicorn that hears its client out before it closes.

An answer may be there before the request's body is: most refusals are. To close then would reset the
connection, and a client that is still sending, as most do before they read, would never see why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class _Door:
    """The transport, as uvicorn's answers use it; who closes it is asked to part instead."""

    def __init__(self, transport: asyncio.Transport, part: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = part


class PartingConnection(HttpToolsProtocol):
    """A client of whom no more requests are taken may send this one to its end, as any other may."""

    _parting = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._door = cast("asyncio.Transport", _Door(transport, self._part))

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.cycle is not None:
            self.cycle.transport = self._door

    def on_message_complete(self) -> None:
        if self._parting:
            self.transport.close()
        else:
            super().on_message_complete()

    def _part(self) -> None:
        """Close, or tell the client that nothing more will come and pass over what it has still to send."""
        cycle = self.cycle
        if not (cycle.response_complete and cycle.more_body):
            self.transport.close()
            return
        self._parting = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
