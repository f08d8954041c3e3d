"""Separates operations from inference by port."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from ...protocols.shared.responses import error_json
from ...security.api_keys import Scope
from ...security.authorization import scope_of_path


class AdminPort:
    """Serves operations only on `admin_port`, inference only on the other port, and probes on both."""

    def __init__(self, app: ASGIApp, admin_port: int) -> None:
        self._app = app
        self._admin_port = admin_port

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (needed := scope_of_path(scope["path"])) is not None:
            on_admin_port = scope["server"][1] == self._admin_port
            if on_admin_port == (needed is Scope.INFER):
                await error_json("this path is served on another port", 404)(scope, receive, send)
                return
        await self._app(scope, receive, send)
