"""Authenticates HTTP requests, except probes and public files, by API key (RFC 6750, section 3)."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from ...client_budget import Account
from ...client_budget.identity import key_identity
from ...errors import ConvserveError, Unauthenticated
from ...http.scope_extensions import ACCOUNT
from ...protocols.shared.responses import error_response
from ...security.authorization import Authorizer, presented_key
from ..dispatch import Found


class Authentication:
    """Authorizes a request before its body is read; a rejected one never reaches the application.

    Args:
        find: the route of a request, which decides the scope that it needs.
    """

    def __init__(self, app: ASGIApp, find: Callable[[Scope], Found], authorizer: Authorizer) -> None:
        self._app = app
        self._find = find
        self._authorizer = authorizer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._find(scope) if scope["type"] == "http" else None
        if found is not None and found.scope is not None and not found.public:
            authorization, x_api_key = [], []
            for name, value in scope["headers"]:
                if name == b"authorization":
                    authorization.append(value)
                elif name == b"x-api-key":
                    x_api_key.append(value)
            try:
                key = self._authorizer.authorize(presented_key(authorization, x_api_key), found.scope)
            except ConvserveError as error:
                response = error_response(error)
                if isinstance(error, Unauthenticated):
                    response.headers["WWW-Authenticate"] = 'Bearer realm="convserve"'
                await response(scope, receive, send)
                return
            account: Account | None = scope.get(ACCOUNT)
            if account is not None:
                account.identify(key_identity(key.name))
        await self._app(scope, receive, send)
