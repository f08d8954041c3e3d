"""One connection under uvicorn, with shorter ways where nothing stands between it and the application.

An answer that is whole is written at once, and a refusal that stands given before the application is asked.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from .at_once import AT_ONCE
from .overload_cache import STANDING, OverloadCache
from .parting import PartingConnection
from .response_bytes import HeadEncoder, Headers


class ShortWays:
    """What the connections of one process have in common for this."""

    def __init__(self) -> None:
        self.heads = HeadEncoder()
        self.standing = OverloadCache(self.heads)


class DirectConnection(PartingConnection):
    """
    Args:
        ways: None where something has to see each request and each answer.
    """

    def __init__(
        self,
        ways: ShortWays | None,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._ways = ways
        self._turned_away = False  # the request that is coming: it has its answer
        self._running: tuple[RequestResponseCycle, asyncio.Task[None]] | None = None

    def on_headers_complete(self) -> None:
        if self._ways is None:
            super().on_headers_complete()
        elif (refusal := self._standing_refusal(self._ways)) is not None:
            self._turned_away = True
            self.transport.write(refusal)
        else:
            super().on_headers_complete()
            _scope(self.cycle)[AT_ONCE] = self._answer

    def on_body(self, body: bytes) -> None:
        if not self._turned_away:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._turned_away:
            self._turned_away = False
            super().on_response_complete()
        else:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        assert self._running is not None
        scope = _scope(self._running[0])
        if self._ways is not None and STANDING in scope:
            query = scope["query_string"]
            url = scope["raw_path"] + (b"?" + query if query else b"")
            self._ways.standing.remember(scope["method"].encode(), url, scope[STANDING])
        super().on_response_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)
        self._running = cycle, task

    def _answer(self, status: int, headers: Headers, body: bytes) -> bool:
        """Write the answer to the request whose turn it is; not where the client has to read others first.

        uvicorn takes two messages for it, looks at every header again, and writes head and body apart: two
        calls of the kernel and two packets for the client to wake up for.
        """
        assert self._ways is not None
        assert self._running is not None
        cycle, _ = self._running
        if cycle.disconnected or cycle.response_started or self.flow.write_paused:
            return False
        if not cycle.keep_alive:
            headers = [*headers, (b"connection", b"close")]
        head = self._ways.heads.head(status, self.server_state.default_headers, headers)
        self.transport.write(head + body)
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
        return True

    def _standing_refusal(self, ways: ShortWays) -> bytes | None:
        """The answer to a request that would be refused as others were, and needs nothing that they did not.

        Not where an earlier one waits for its answer or has it unread, nor where the connection is to end.
        """
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy or self.flow.write_paused or self.expect_100_continue:
            return None
        if self.parser.get_http_version() != "1.1" or not self.parser.should_keep_alive():
            return None
        method = self.parser.get_method()
        return ways.standing.answer(method, self.url, self.headers, self.server_state.default_headers)


def _scope(cycle: RequestResponseCycle) -> dict[str, Any]:
    """As uvicorn does not know it, with keys of our own."""
    return cast("dict[str, Any]", cycle.scope)
