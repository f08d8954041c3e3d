"""The state that all HTTP connections of a process share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from ..client_budget import Account, ClientBudget, Peer
from ..client_budget.identity import TrustedProxies, address_identity
from ..config.limits import ConnectionLimits
from ..security.authorization import PROBES
from ..telemetry.rejections import RejectionCounters, RejectionReason
from .connections.slots import ConnectionSlots, Slot
from .overload_cache import OverloadCache
from .protocol import HttpProtocol
from .response_bytes import ProtocolError, ResponseEncoder
from .turns.parse_turns import ParseTurns
from .turns.request_turns import RequestTurns


class ConnectionPool:
    """Creates the protocol of each connection, and closes connections that take too long.

    Args:
        overload_cache: None if middleware has to see every request.
        proxies: those whose X-Forwarded-For names the client; they may open any number of connections.

    Attributes:
        slots: the slots of all connections.
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
        self.proxies = proxies or None  # None if there are none, which costs a request the least
        self.rejections = rejections
        self.overload_cache = overload_cache
        self.slots = ConnectionSlots(limits, rejections, proxies)
        self.encoder = ResponseEncoder()
        self.parse_turns = ParseTurns()
        self.request_turns = RequestTurns()

    def connect(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        *,
        slot: Slot | None = None,
        admin: bool = False,
    ) -> HttpProtocol:
        """The protocol of a new connection.

        Args:
            slot: None if the connection has not taken one yet.
            admin: the connection is on the admin port.
        """
        return HttpProtocol(self, slot or Slot(self.slots, admin=admin), config, server_state, app_state)

    def admit(self, slot: Slot, path: str) -> bool:
        """Admit a request of a connection with a reserved slot; returns False if it has to be the last one.

        Raises:
            ProtocolError: the connection is not on the admin port, and may send only probes.
        """
        if slot.admin or slot.leave_reserve():
            return True
        if path in PROBES:
            return False  # a client that never reads could occupy the slot with further probes
        if slot.crowded:
            message = f"the client's address has {self.limits.max_per_address} connections, the maximum"
            raise ProtocolError(429, RejectionReason.TOO_MANY_OF_ADDRESS, message)
        message = "the server has too many connections"
        raise ProtocolError(503, RejectionReason.TOO_MANY_CONNECTIONS, message)

    def peer(self, account: Account, scope: Mapping[str, Any]) -> Peer:
        """The client of a request: that of its connection's account, unless a trusted proxy names another."""
        if not self.proxies or scope["client"] is None:
            return account.peer
        address = self.proxies.client_address(scope["client"][0], scope["headers"])
        return self.budget.peer(address_identity(address))

    def check(self, state: ServerState) -> None:
        """Reject or close the connections that take too long; called once a second."""
        now = asyncio.get_running_loop().time()
        for connection in list(state.connections):
            if isinstance(connection, HttpProtocol):
                connection.check(now)
