"""The ASGI scope of a connection: the entries that all of its requests share."""

from __future__ import annotations

import asyncio
from typing import Any


def connection_scope(transport: asyncio.Transport) -> dict[str, Any]:
    secure = transport.get_extra_info("sslcontext") is not None
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "server": _address(transport, "sockname"),
        "client": _address(transport, "peername"),
        "scheme": "https" if secure else "http",
        "root_path": "",
    }


def _address(transport: asyncio.Transport, name: str) -> tuple[str, int] | None:
    """The host and port of one end of a TCP connection; None for other kinds of sockets."""
    address = transport.get_extra_info(name)
    return (str(address[0]), int(address[1])) if isinstance(address, tuple) else None
