"""One request and its response, as the ASGI application sees them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message

from ..client_budget import Account
from ..errors import BudgetExceeded, PayloadTooLarge
from .response_bytes import CLOSE, Headers, error_body, too_many_bytes

if TYPE_CHECKING:
    from .protocol import HttpProtocol

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# Statuses whose responses have no body (RFC 9110, 6.4.1).
_BODYLESS = frozenset((204, 304))
# A longer part of a response is written in slices of this size, each after the client has read the last.
SLICE_BYTES = 256 * 1024

logger = logging.getLogger(__name__)


class RequestCycle:
    """Implements ASGI's `receive` and `send` for one request of a connection.

    The head of a response is held until the first part of its body, and both are written in one call. A
    complete response thus takes one system call, and an error before the first part can still become a 500.

    Attributes:
        keep_alive: whether the connection stays open after the response.
        more_body: whether more of the request's body has to arrive; the connection sets it to False.
        account: the bytes that the request holds; it is closed when the task ends.
        disconnected: whether `receive` returns a disconnect and `send` discards messages.
        response_started, response_complete: whether bytes of the response, or all of them, are written.
        task: the task that runs the application; None until it is the request's turn.
    """

    __slots__ = (
        "_awaits_continue",
        "_body",
        "_chunked",
        "_connection",
        "_delivered",
        "_event",
        "_head",
        "_remaining",
        "_takes_turn",
        "account",
        "disconnected",
        "keep_alive",
        "more_body",
        "response_complete",
        "response_started",
        "scope",
        "task",
    )

    def __init__(
        self,
        connection: HttpProtocol,
        scope: dict[str, Any],
        account: Account,
        *,
        keep_alive: bool,
        awaits_continue: bool,
    ) -> None:
        self.scope = scope
        self.account = account
        self.keep_alive = keep_alive
        self.more_body = True
        self.disconnected = False
        self.response_started = False
        self.response_complete = False
        self.task: asyncio.Task[None] | None = None
        self._connection = connection
        self._awaits_continue = awaits_continue
        self._body = bytearray()
        self._delivered = False  # whether `receive` has returned the end of the body
        self._event: asyncio.Event | None = None  # exists while `receive` waits
        self._takes_turn = False  # whether `wake` is going to be called
        self._head: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self._remaining: int | None = None
        self._chunked = False

    def begin(self) -> None:
        """Run the application, unless the request is rejected or the client has left."""
        if self.disconnected:
            self.account.close()
            return
        tasks = self._connection.tasks
        self.task = task = asyncio.get_running_loop().create_task(self._run(self._connection.app))
        tasks.add(task)
        task.add_done_callback(self._on_task_done)

    async def _run(self, app: ASGIApp) -> None:
        """Call the application, and complete the response if it does not."""
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            if self.disconnected:  # the client left before it had read its response
                return
            # The shutdown timeout has passed.
            logger.warning("%s %s was cancelled", self.scope["method"], self.scope["path"])
        except Exception:
            logger.exception("the application failed on %s %s", self.scope["method"], self.scope["path"])
        else:
            if self.response_complete or self.disconnected:
                return
            logger.error(
                "the application did not complete its response to %s %s",
                self.scope["method"],
                self.scope["path"],
            )
        if self.disconnected or self.response_complete:
            return
        if self.response_started:
            self._connection.close()
        else:
            self._remaining, self._chunked = None, False
            self._start(500, [(b"content-type", b"application/json"), CLOSE])
            self._write(error_body("internal error; details are in the server's log"), more=False)

    def add_body(self, data: bytes) -> int:
        """Append to the body that `receive` returns next; returns its length."""
        self._body += data
        return len(self._body)

    def needs_turn(self) -> bool:
        """True if the application waits for the body, the first time that it is asked."""
        if self._event is None or self._takes_turn:
            return False
        self._takes_turn = True
        return True

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        """Release what the request holds, however its task has ended."""
        self._connection.tasks.discard(task)
        self.account.close()

    def disconnect(self) -> None:
        """Make `receive` return a disconnect and `send` discard messages."""
        self.disconnected = True
        self.wake()

    async def receive(self) -> Message:
        if self._awaits_continue and not self.response_started:
            self._awaits_continue = False
            self._connection.write(CONTINUE)
        while not (self.disconnected or self.response_complete):
            if self._body or not (self.more_body or self._delivered):
                body, self._body = bytes(self._body), bytearray()
                self._delivered = not self.more_body
                return {"type": "http.request", "body": body, "more_body": self.more_body}
            self._connection.continue_reading()
            self._event = asyncio.Event()
            await self._event.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """
        Raises:
            RuntimeError: the message is out of order, or the body contradicts its Content-Length.
        """
        kind = message["type"]
        if self._head is None and not self.response_started:
            if kind != "http.response.start":
                raise RuntimeError(f"expected the message http.response.start, not {kind}")
            self._start(message["status"], message.get("headers", ()))
            return
        if kind != "http.response.body" or self.response_complete:
            raise RuntimeError(f"unexpected message {kind}")
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._connection.flow.write_paused:
            await self._drain()
        if len(body) > SLICE_BYTES and self.scope["method"] != "HEAD":
            body = await self._write_slices(body, more=more)
        if not self.disconnected:
            self._write(body, more=more)

    async def _drain(self) -> None:
        """Wait until the client has read; meanwhile the connection may be cut to make room for others."""
        self.account.evict = self._connection.abort_reader
        while self._connection.flow.write_paused and not self.disconnected:
            await self._connection.flow.drain()
        self.account.evict = None

    async def _write_slices(self, body: bytes | memoryview, *, more: bool) -> bytes | memoryview:
        """Write all of a large part but its last slice; returns that slice."""
        try:
            self.account.charge(max(0, len(body) - self.account.held))
        except (BudgetExceeded, PayloadTooLarge) as error:
            self._refuse(error)
            return b""
        if self._head is not None and not more and self._remaining is None and not self._chunked:
            self._remaining = len(body)
            self._head[1].append((b"content-length", b"%d" % len(body)))
        view = memoryview(body)
        while len(view) > SLICE_BYTES and not self.disconnected:
            self._write(view[:SLICE_BYTES], more=True)
            view = view[SLICE_BYTES:]
            if self._connection.flow.write_paused:
                await self._drain()
        return view

    def _refuse(self, error: BudgetExceeded | PayloadTooLarge) -> None:
        """Replace a response that the server cannot hold; the rest of the application's is discarded."""
        if self.response_started:
            self._connection.abort_reader()
        else:
            self._head, self._remaining, self._chunked = None, None, False
            refusal = too_many_bytes(error)
            self._start(refusal.status, refusal.headers)
            self._write(refusal.body, more=False)
        self.disconnected = True

    def _start(self, status: int, headers: Headers) -> None:
        lowered = []
        for name, value in headers:
            name = name.lower()
            if name == b"content-length":
                self._remaining = int(value)
            elif name == b"transfer-encoding":
                self._chunked = value.lower() == b"chunked"
            elif name == b"connection" and b"close" in value.lower():
                self.keep_alive = False
                value = CLOSE[1]
            lowered.append((name, value))
        self._head = status, lowered

    def _write(self, body: bytes | memoryview, *, more: bool) -> None:
        """Write a part of the body, preceded by the head if that is still held."""
        bodyless = self.scope["method"] == "HEAD"
        head = b""
        payload: bytes | memoryview
        if self._head is not None:
            status, headers = self._head
            bodyless = bodyless or status in _BODYLESS
            if not self.keep_alive and CLOSE not in headers:
                headers.append(CLOSE)
            if not bodyless and self._remaining is None and not self._chunked:
                self._choose_framing(headers, len(body), more=more)
            head = self._connection.encode_head(status, headers)
        if bodyless:
            payload = b""
            self._remaining = None
        elif self._chunked:
            framed = b"".join((b"%x\r\n" % len(body), body, b"\r\n")) if body else b""
            payload = framed if more else framed + b"0\r\n\r\n"
        else:
            payload = body
            self._count(len(body), more=more)
        self._head = None
        if head or payload:
            self.response_started = True
            self._connection.write(head + payload if head else payload)
        if not more:
            self.response_complete = True
            self.wake()
            self._connection.on_response_complete(self)

    def _choose_framing(self, headers: list[tuple[bytes, bytes]], length: int, *, more: bool) -> None:
        """Set the framing of a body without Content-Length; in HTTP/1.0 it ends with the connection."""
        if not more:
            self._remaining = length
            headers.append((b"content-length", b"%d" % length))
        elif self.scope["http_version"] == "1.1":
            self._chunked = True
            headers.append((b"transfer-encoding", b"chunked"))

    def _count(self, length: int, *, more: bool) -> None:
        if self._remaining is None:
            return
        self._remaining -= length
        if self._remaining < 0:
            raise RuntimeError("the response's body is longer than its content-length")
        if self._remaining and not more:
            raise RuntimeError("the response's body is shorter than its content-length")

    def wake(self) -> None:
        """Let `receive` return, if the application waits in it."""
        if self._event is not None:
            self._event.set()
            self._event = None
            self._takes_turn = False
