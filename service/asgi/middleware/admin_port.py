"""Separates operations from inference by port."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from ...protocols.shared.responses import error_json
from ...security.api_keys import Scope
from ..dispatch import Found


class AdminPort:
    """Serves operations only on `admin_port`, inference only on the other port, and probes on both.

    Args:
        find: the route of a request, whose scope decides the port.
    """

    def __init__(self, app: ASGIApp, find: Callable[[AsgiScope], Found], admin_port: int) -> None:
        self._app = app
        self._find = find
        self._admin_port = admin_port

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (needed := self._find(scope).scope) is not None:
            on_admin_port = scope["server"][1] == self._admin_port
            if on_admin_port == (needed is Scope.INFER):
                await error_json("this port does not serve this path", 404)(scope, receive, send)
                return
        await self._app(scope, receive, send)
