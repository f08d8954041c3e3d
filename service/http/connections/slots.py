"""The slots of connections: they decide which connections may stay when the server is full.

A connection takes a slot when it is accepted. If none is free, the connection that has had no request in
progress for longest is closed to free one. While every connection has a request in progress, a new connection
gets a reserved slot, with which only probes are answered. The admin port has reserved slots of its own, which
it uses first. Every operation takes constant time.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable

from ...client_budget.identity import TrustedProxies, address_identity
from ...config.limits import ConnectionLimits
from ...system.sockets import is_reset, unread_bytes
from ...telemetry.rejections import RejectionCounters, RejectionReason

# A search for an idle connection skips so many whose next request has arrived but is not read yet.
MAX_SKIPPED = 8


class Partition:
    """Slots for one purpose.

    Attributes:
        size: the maximum number of connections.
        taken: the number of connections.
        idle: those without a request in progress, the longest idle first.
    """

    __slots__ = ("idle", "size", "taken")

    def __init__(self, size: int) -> None:
        self.size = size
        self.taken = 0
        self.idle: OrderedDict[Slot, None] = OrderedDict()

    def has_room(self, *, evict: bool = True) -> bool:
        """True if a slot is free, or if evicting an idle connection has freed one."""
        return self.taken < self.size or (evict and self._evict_longest_idle())

    def _evict_longest_idle(self) -> bool:
        for _ in range(min(len(self.idle), MAX_SKIPPED)):
            slot = next(iter(self.idle))
            if not slot.has_unread_bytes():
                slot.evict()
                return True
            self.idle.move_to_end(slot)
        return False


class Slot:
    """The slot of one connection.

    Attributes:
        partition: the slots that it belongs to.
        identity: the address that it counts for; None if it counts for none.
        reserved: the connection may send only probes, unless it is on the admin port.
        admin: the connection is on the admin port.
        crowded: it is a reserved slot because the client's address has all connections that it may have.
        close: closes the connection; its argument is False if the socket must be closed at once.
    """

    __slots__ = ("_fileno", "_slots", "admin", "close", "crowded", "identity", "partition", "reserved")

    def __init__(self, slots: ConnectionSlots, *, admin: bool = False) -> None:
        self.partition = slots.released
        self.identity: Hashable = None
        self.reserved = False
        self.admin = admin
        self.crowded = False
        self.close: Callable[[bool], None] = _ignore
        self._slots = slots
        self._fileno = -1

    def take(self, fileno: int, address: str | None) -> bool:
        """Take an ordinary or reserved slot for a new connection; False if it has to be closed at once.

        Args:
            fileno: the connection's socket.
            address: the client's; None if it has none.
        """
        # The kernel keeps the request of a connection that was reset before it was accepted. Nobody waits
        # for the response, and thousands of such requests would delay those of others.
        if is_reset(fileno):
            return False
        self._fileno = fileno
        self._slots.assign(self, address)
        return self.partition is not self._slots.closing

    def take_for(self, transport: asyncio.Transport) -> bool:
        """Take a slot for a new connection, unless it has one since before its TLS handshake."""
        if self.partition is not self._slots.released:
            return True
        peer = transport.get_extra_info("peername")
        sock = transport.get_extra_info("socket")
        fileno = -1 if sock is None else sock.fileno()
        return self.take(fileno, str(peer[0]) if isinstance(peer, tuple) else None)

    def begin_request(self) -> None:
        """Keep the connection from being evicted."""
        self.partition.idle.pop(self, None)

    def end_request(self) -> None:
        self.partition.idle[self] = None

    def answered_at_once(self) -> None:
        """Let the connection count as idle from now on, after a request that was never in progress."""
        self.partition.idle.move_to_end(self)

    def leave_reserve(self) -> bool:
        """Exchange a reserved slot for an ordinary one; False if there is none."""
        return self._slots.promote(self)

    def has_unread_bytes(self) -> bool:
        return unread_bytes(self._fileno) > 0

    def evict(self) -> None:
        """Close the connection, and free the slot for another."""
        self.close(self._slots.start_closing(self))

    def release(self) -> None:
        """Free the slot, as the socket is closed; later calls have no effect."""
        self._slots.move(self, self._slots.released)
        self.close = _ignore


class ConnectionSlots:
    """All slots of a process.

    Attributes:
        ordinary: slots of connections that may send any request.
        closing: connections that are evicted or refused, and whose sockets are not closed yet.
        released: connections whose sockets are closed, or not accepted yet.
    """

    def __init__(
        self,
        limits: ConnectionLimits,
        rejections: RejectionCounters,
        trusted_proxies: TrustedProxies | None = None,
    ) -> None:
        self.ordinary = Partition(limits.max_connections)
        self.closing = Partition(limits.closing_connections)
        self.released = Partition(0)
        self._probes = Partition(limits.reserved_connections)
        self._operations = Partition(limits.reserved_admin_connections)
        self._rejections = rejections
        self._max_per_address = limits.max_per_address
        self._trusted_proxies = trusted_proxies or TrustedProxies()
        self._of_address: dict[Hashable, int] = {}

    def assign(self, slot: Slot, address: str | None) -> None:
        """Put a new connection into a partition with room, else into `closing`."""
        if self._max_per_address and address is not None and not slot.admin:
            slot.identity = None if self._trusted_proxies.trusts(address) else address_identity(address)
        slot.crowded = self._is_crowded(slot)
        reserve = self._operations if slot.admin else self._probes
        if slot.admin and reserve.has_room(evict=False):
            self.move(slot, reserve)
        elif not slot.crowded and self.ordinary.has_room():
            self.move(slot, self.ordinary)
        elif reserve.has_room(evict=not slot.crowded):
            self.move(slot, reserve)
        else:
            self._rejections.count(RejectionReason.TOO_MANY_CONNECTIONS)
            self.move(slot, self.closing)

    def promote(self, slot: Slot) -> bool:
        """Move a connection out of its reserved slot; False if there is no room."""
        if self._is_crowded(slot) or not self.ordinary.has_room():
            return False
        self.move(slot, self.ordinary)
        return True

    def start_closing(self, slot: Slot) -> bool:
        """Free a slot for another connection; returns False if too many sockets are closing slowly."""
        self._rejections.count(RejectionReason.EVICTED)
        self.move(slot, self.closing)
        return self.closing.taken <= self.closing.size

    def move(self, slot: Slot, target: Partition) -> None:
        """Count a connection in another partition, as one without a request in progress."""
        source, identity = slot.partition, slot.identity
        if source is not self.released:
            source.taken -= 1
            source.idle.pop(slot, None)
        if source is self.ordinary and identity is not None:
            self._count_address(identity, -1)
        slot.partition = target
        slot.reserved = target is not self.ordinary
        if target is not self.released:
            target.taken += 1
            target.idle[slot] = None
        if target is self.ordinary and identity is not None:
            self._count_address(identity, 1)

    def _is_crowded(self, slot: Slot) -> bool:
        identity = slot.identity
        return identity is not None and self._of_address.get(identity, 0) >= self._max_per_address

    def _count_address(self, identity: Hashable, change: int) -> None:
        count = self._of_address.get(identity, 0) + change
        if count:
            self._of_address[identity] = count
        else:
            del self._of_address[identity]


def close_transport(transport: asyncio.Transport, *, ordinary: bool) -> None:
    """Close a connection; at once if it is not `ordinary`, or would wait for the client."""
    if ordinary and not (transport.is_closing() or transport.get_write_buffer_size()):
        transport.close()
    else:
        transport.abort()


def _ignore(ordinary: bool) -> None:
    """The `close` of a slot without a connection."""
