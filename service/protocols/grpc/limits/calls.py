"""The calls in progress: their number, the bytes that they hold, and the time that they may take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable
from contextvars import ContextVar
from typing import Any, TypeAlias

import grpc

from ....client_budget import ClientBudget
from ....client_budget.identity import TrustedProxies, address_identity
from ....config.limits import Limits
from ....errors import (
    ConvserveError,
    InvalidInput,
    ModelNotReady,
    Overloaded,
    PayloadTooLarge,
)
from ....security.authorization import GRPC_PROBES
from ....system.tcp_connections import Address, TcpConnections
from ....telemetry.rejections import RejectionCounters, RejectionReason
from .connection import Connection
from .decompression import decompress, is_compressed
from .incomplete_messages import IncompleteMessages
from .resets import ResetLimit, is_reset
from .slots import Slots

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"  # generic only in the stubs

# The library may report the end of a stream this many seconds before it reports that the client has left.
DISCONNECT_SECONDS = 0.05
# Copies of a response that exist while it is sent: one is the library's.
COPIES = 2
# Connections without a call that are remembered.
MAX_REMEMBERED = 1024
# For this long, calls may begin that arrived before their connection was closed.
CLOSING_SECONDS = 1.0
# Health watches, and other probes, have slots of their own: parts of the number of calls.
WATCHES_SHARE = 1 / 4
PROBES_SHARE = 1 / 16
MIN_SLOTS = 16
WATCH = "/grpc.health.v1.Health/Watch"

EOF = grpc.aio.EOF  # type: ignore[attr-defined]

# The identity of the call's API key; None without one.
key_of_call: ContextVar[Hashable | None] = ContextVar("key_of_call", default=None)


class Call:
    """A call from its first byte to the last of its response.

    Attributes:
        account: charged for the call's messages; closed when the call ends.
        client: the identity that shares slots and bytes with others.
        connection: the call's connection.
        streaming: the client may send any number of messages, at any time.
    """

    __slots__ = (
        "_began", "_calls", "_context", "_failure", "_requested", "_slots", "_stopping", "_task", "account",
        "client", "connection", "since", "streaming",
    )  # fmt: skip

    def __init__(self, calls: Calls, slots: Slots, context: Context, *, streaming: bool) -> None:
        """
        Raises:
            Overloaded: too many calls are in progress, or the connection has cancelled too many.
        """
        connection = calls.connection(context.peer())
        if connection.closed or (connection.calls > connection.credit and not calls.admits(connection)):
            raise Overloaded("too many calls were cancelled; wait for responses", retry_after=1.0)
        self.client = key_of_call.get() or calls.identity(connection, context)
        slots.take(self.client)
        self.connection = connection
        self.streaming = streaming
        self.since = 0.0
        self._began = calls.now()
        self._calls = calls
        self._context = context
        self._failure: ConvserveError | None = None
        self._requested = False
        self._slots = slots
        self._stopping = False
        task: Any = asyncio.current_task()
        self._task: asyncio.Task[object] = task
        self.account = calls.budget.account(self.client)
        connection.calls += 1
        task.add_done_callback(self._end)

    async def receive(self, max_bytes: int) -> bytes | None:
        """The next message, decompressed; None if the client sends no more, or the server stops.

        Raises:
            BudgetExceeded: the process holds too many bytes for its clients.
            DeadlineExceeded: the message has not arrived in time.
            PayloadTooLarge: it has more than `max_bytes`.
        """
        calls = self._calls
        self._end_request()
        calls.add_incomplete(self)
        try:
            message: bytes = await self._context.read()
        except asyncio.CancelledError:
            self.connection.abandon()
            if self._failure is None and not self._stopping:
                raise
            self._task.uncancel()
            if self._failure is None:
                return None
            raise self._failure from None
        finally:
            calls.incomplete.remove(self)
        if message is EOF:
            return None
        self.connection.deliver(len(message), streaming=self.streaming)
        self._begin_request()
        self.account.charge(len(message))
        if is_compressed(message):
            async with self.connection.decompressing:
                message = await decompress(message, max_bytes, self.account)
        if len(message) > max_bytes:
            raise PayloadTooLarge(f"the message has {len(message):,} bytes; this method takes {max_bytes:,}")
        return message

    async def receive_only(self, max_bytes: int) -> bytes:
        """The message of a call that has exactly one.

        Raises:
            InvalidInput: the stream ends without a message.
            ModelNotReady: the server stops.
        """
        message = await self.receive(max_bytes)
        if message is not None:
            return message
        if self._stopping:
            raise ModelNotReady("the server is shutting down")
        await asyncio.sleep(DISCONNECT_SECONDS)
        raise InvalidInput("the call ends without a message")

    @property
    def failed(self) -> bool:
        """True if the call was ended while a message was incomplete, so that none can follow."""
        return self._failure is not None

    def time_remaining(self) -> float | None:
        """Seconds until the client's deadline; None without one."""
        remaining: float | None = self._context.time_remaining()
        return remaining

    def fail(self, error: ConvserveError) -> None:
        """End the call with an error while its message is incomplete."""
        if self in self._calls.incomplete and self._failure is None and not self._stopping:
            self._failure = error
            self._task.cancel()

    def stop(self) -> None:
        """End the call, or the client's part of a stream, while its message is incomplete."""
        if self in self._calls.incomplete and self._failure is None and not self._stopping:
            self._stopping = True
            self._task.cancel()

    def send(self, response: bytes) -> bytes:
        """Charge the call for a response until it is sent, and for nothing else.

        Raises:
            BudgetExceeded: the process holds too many bytes for its clients.
        """
        account = self.account
        held = COPIES * len(response)
        if held > account.held:
            account.charge(held - account.held)
        else:
            account.release(account.held - held)
        account.evict = self.disconnect
        self._calls.unsent[self] = None
        self.since = self._calls.now()
        return response

    def sent(self) -> None:
        """Release a response of a stream, with everything else; the client has received it."""
        self._calls.unsent.pop(self, None)
        self.account.evict = None
        self.account.release(self.account.held)

    def disconnect(self) -> None:
        """Close the connection; the library offers no other way to end a call whose response is not read."""
        if self._calls.close(self.connection):
            self.account.close()

    def _begin_request(self) -> None:
        if self._slots is not self._calls.watches:
            self.connection.requests += 1
            self._requested = True

    def _end_request(self) -> None:
        if self._requested:
            self.connection.requests -= 1
            self._requested = False

    def _end(self, task: asyncio.Task[object]) -> None:
        self._end_request()
        self._calls.unsent.pop(self, None)
        self._calls.release(self._slots, self.client)
        self.account.close()
        self.connection.calls -= 1
        if self._context.done():
            self._calls.resets.answer(self.connection)
        elif is_reset(self._calls.now() - self._began, self.time_remaining()):
            self._calls.count_reset(self.connection)


class Calls:
    """All calls in progress.

    Attributes:
        budget: the process's.
        max_message: bytes of a message, in either direction.
        incomplete: the calls whose message is awaited.
        resets: the limit on calls that are cancelled at once.
        unsent: the calls whose response the client has not received completely.
        watches: the slots of health watches, which may be open for days.
        tcp: the connections of the port; None before it listens.
    """

    def __init__(
        self,
        budget: ClientBudget,
        limits: Limits,
        proxies: TrustedProxies | None = None,
        rejections: RejectionCounters | None = None,
    ) -> None:
        self.budget = budget
        self.max_message = limits.max_message_bytes
        self.incomplete = IncompleteMessages(budget, limits.max_message_bytes, limits.arrival_timeout)
        self.unsent: dict[Call, None] = {}
        self.resets = ResetLimit(time.monotonic)
        self._write_timeout = limits.write_timeout
        self._inference = Slots(limits.max_calls, "gRPC calls")
        self.watches = Slots(max(MIN_SLOTS, int(limits.max_calls * WATCHES_SHARE)), "health watches")
        self._probes = Slots(max(MIN_SLOTS, int(limits.max_calls * PROBES_SHARE)), "health probes")
        self._proxies = proxies
        self._rejections = rejections
        self._connections: dict[str, Connection] = {}
        self._stopping = False
        self._idle: asyncio.Event | None = None

    @property
    def tcp(self) -> TcpConnections | None:
        return self.incomplete.tcp

    @tcp.setter
    def tcp(self, tcp: TcpConnections) -> None:
        self.incomplete.tcp = tcp

    @property
    def in_progress(self) -> int:
        """The number of calls, without the watches."""
        return self._inference.taken + self._probes.taken

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def begin(self, method: str, context: Context, *, streaming: bool) -> Call:
        """
        Raises:
            Overloaded: too many calls are in progress.
        """
        if method in GRPC_PROBES:
            slots = self.watches if method == WATCH else self._probes
        else:
            slots = self._inference
        return Call(self, slots, context, streaming=streaming)

    def connection(self, peer: str) -> Connection:
        connection = self._connections.get(peer)
        if connection is None:
            if len(self._connections) >= MAX_REMEMBERED:
                self._connections = {key: each for key, each in self._connections.items() if each.calls}
            connection = self._connections[peer] = Connection(peer)
        return connection

    def identity(self, connection: Connection, context: Context) -> Hashable:
        """The client of a call without a key: of a connection from a trusted proxy, the one that it names."""
        address = connection.address
        if not self._proxies or address is None or not self._proxies.trusts(address[0]):
            return connection.client
        metadata = context.invocation_metadata() or ()
        headers = [(name.encode(), value.encode()) for name, value in metadata if isinstance(value, str)]
        return address_identity(self._proxies.client_address(address[0], headers))

    def add_incomplete(self, call: Call) -> None:
        self.incomplete.add(call)
        if self._stopping:
            asyncio.get_running_loop().call_soon(call.stop)

    def close(self, connection: Connection) -> bool:
        """Close a connection; False if it cannot be found."""
        return self.tcp is not None and connection.address is not None and self.tcp.close(connection.address)

    def count_reset(self, connection: Connection) -> None:
        """Count a call that was cancelled at once, and close the connection if they are too many."""
        if connection.closed or self._stopping or not self.resets.exceeds(connection):
            return
        self._close_reset(connection)

    def admits(self, connection: Connection) -> bool:
        """False if the connection must wait for responses, as its client has cancelled too many calls."""
        if not self.resets.must_wait(connection):
            return True
        if not connection.credit and not self._stopping:
            self._close_reset(connection)
        return False

    def _close_reset(self, connection: Connection) -> None:
        connection.closed = True
        if self.tcp is not None and connection.address is not None:
            self.tcp.close(connection.address, discard=True)
        if self._rejections is not None:
            self._rejections.count(RejectionReason.TOO_MANY_RESETS)
        # A new connection may have the same port.
        asyncio.get_running_loop().call_later(CLOSING_SECONDS, self._forget, connection)

    def _forget(self, connection: Connection) -> None:
        if self._connections.get(connection.peer) is connection:
            del self._connections[connection.peer]

    def busy(self) -> set[Address]:
        """The addresses of the connections with requests in progress; watches and idle streams have none."""
        return {each.address for each in self._connections.values() if each.requests and each.address}

    def check_unsent(self) -> None:
        """Disconnect the clients that have left a response unread for too long."""
        latest = self.now() - self._write_timeout
        for call in [call for call in self.unsent if call.since <= latest]:
            call.disconnect()

    def stop(self) -> None:
        """End the calls whose message is incomplete, now and from now on."""
        self._stopping = True
        for call in self.incomplete:
            call.stop()

    async def ended(self) -> None:
        """Return when no call is in progress."""
        self._idle = asyncio.Event()
        if self.in_progress:
            await self._idle.wait()

    def release(self, slots: Slots, client: Hashable) -> None:
        slots.release(client)
        if self._idle is not None and not self.in_progress:
            self._idle.set()
