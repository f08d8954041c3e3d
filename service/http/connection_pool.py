"""The state that all HTTP connections of a process share."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from ..client_budget import ClientBudget
from ..client_budget.identity import TrustedProxies
from ..config.limits import ConnectionLimits
from ..telemetry.rejections import RejectionCounters
from .overload_cache import OverloadCache
from .protocol import HttpProtocol
from .response_bytes import ResponseEncoder


class ConnectionPool:
    """Creates the protocol of each connection, and closes connections that take too long.

    Args:
        overload_cache: None if middleware has to see every request.
        proxies: those whose X-Forwarded-For names the client.
    """

    def __init__(
        self,
        limits: ConnectionLimits,
        rejections: RejectionCounters,
        budget: ClientBudget,
        overload_cache: OverloadCache | None = None,
        proxies: TrustedProxies | None = None,
    ) -> None:
        self.limits = limits
        self.budget = budget
        self.proxies = proxies
        self.rejections = rejections
        self.overload_cache = overload_cache
        self.encoder = ResponseEncoder()

    def connect(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> HttpProtocol:
        """The protocol of a new connection; uvicorn calls this with these arguments."""
        return HttpProtocol(self, config, server_state, app_state)

    def check(self, state: ServerState) -> None:
        """Reject or close the connections that take too long; called once a second."""
        now = asyncio.get_running_loop().time()
        for connection in list(state.connections):
            if isinstance(connection, HttpProtocol):
                connection.check(now)
