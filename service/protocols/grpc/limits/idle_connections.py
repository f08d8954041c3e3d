"""Keeps places free for new connections of gRPC."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

from ....client_budget.identity import address_identity
from ....system.tcp_connections import Address, TcpConnections, TcpState

# Above this part of the limit, idle connections are closed. The library refuses new ones at the limit.
FULL_SHARE = 3 / 4
# A connection is idle when nothing has arrived for this many seconds.
MIN_IDLE_SECONDS = 1.0


class IdleConnections:
    """Closes idle connections while there are too many.

    The client with the most connections loses the one that has been idle for longest, until enough are
    closed.
    """

    def __init__(self, tcp: TcpConnections, limit: int) -> None:
        self._tcp = tcp
        self._full = max(1, int(limit * FULL_SHARE))

    def close_excess(self, busy: Collection[Address]) -> None:
        """Close connections above the limit, except those that are `busy`; may run in a thread."""
        if self._tcp.open_files() < self._full:
            return
        states = self._tcp.states()
        for address in longest_idle(states, busy, len(states) - self._full):
            self._tcp.close(address)


def longest_idle(states: Mapping[Address, TcpState], busy: Collection[Address], excess: int) -> list[Address]:
    """Up to `excess` connections to close."""
    by_client: dict[object, list[tuple[float, Address]]] = defaultdict(list)
    for address, state in states.items():
        if state.idle >= MIN_IDLE_SECONDS and address not in busy:
            by_client[address_identity(address[0])].append((state.idle, address))
    for connections in by_client.values():
        connections.sort()
    chosen: list[Address] = []
    while len(chosen) < excess and (most := max(by_client.values(), key=len, default=[])):
        chosen.append(most.pop()[1])
    return chosen
