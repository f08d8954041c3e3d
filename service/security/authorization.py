"""Authorizes requests by API key and scope, for HTTP and gRPC."""

from __future__ import annotations

import re

from ..errors import Forbidden, RateLimited, Unauthenticated
from ..telemetry import log_fields
from ..telemetry.rejections import RejectionCounters, RejectionReason
from ..telemetry.request_context import current
from .api_keys import ApiKeyStore, Key, Scope
from .rate_limiter import RateLimiter

# Requests of load balancers, container runtimes and Kubernetes, which have no key.
PROBES = frozenset({"/livez", "/readyz", "/ping", "/v2/health/live", "/v2/health/ready"})
GRPC_PROBES = frozenset(
    {
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/inference.GRPCInferenceService/ServerLive",
        "/inference.GRPCInferenceService/ServerReady",
    }
)
# Requests that control the server.
_ADMIN = re.compile(
    r"/admin(/.*)?|/v2/(repository|systemsharedmemory|cudasharedmemory|logging|trace)(/.*)?"
    r"|/v2/models/[^/]*/trace/.*",
    re.DOTALL,
)
_GRPC_ADMIN = re.compile(r".*/(Repository|SystemSharedMemory|CudaSharedMemory|TraceSetting|LogSettings).*")


def scope_of_path(path: str) -> Scope | None:
    """The scope that a request for a path needs; None for a probe, which needs no key."""
    if path in PROBES:
        return None
    if path == "/metrics":
        return Scope.METRICS
    # The prefixes are checked first because the regular expression is slow.
    is_admin = path.startswith(("/v2/", "/admin")) and _ADMIN.fullmatch(path)
    return Scope.ADMIN if is_admin else Scope.INFER


def scope_of_method(method: str) -> Scope | None:
    """The scope that a gRPC method, `/<service>/<method>`, needs; None for a probe."""
    if method in GRPC_PROBES:
        return None
    return Scope.ADMIN if _GRPC_ADMIN.fullmatch(method) else Scope.INFER


class Authorizer:
    """Checks the key, scope and rate limit of each request, and counts rejections."""

    def __init__(self, api_keys: ApiKeyStore, rates: RateLimiter, rejections: RejectionCounters) -> None:
        self._api_keys = api_keys
        self._rates = rates
        self._rejections = rejections

    def authorize(self, presented: bytes | None, scope: Scope) -> Key:
        """The key of a request that needs `scope`.

        Raises:
            Unauthenticated: there is no key, or it is unknown.
            Forbidden: the key lacks the scope.
            RateLimited: the key has exceeded its rate.
        """
        key = None if presented is None else self._api_keys.find(presented)
        if key is None:
            self._rejections.count(RejectionReason.UNAUTHENTICATED)
            raise Unauthenticated(
                "an API key is required in the header Authorization: Bearer or X-API-Key"
                if presented is None
                else "the API key is unknown"
            )
        if scope not in key.scopes:
            self._rejections.count(RejectionReason.FORBIDDEN)
            raise Forbidden(f"API key {key.name!r} lacks the scope {scope.value!r}")
        if key.rate is not None and (seconds := self._rates.take(key.name, key.rate)):
            self._rejections.count(RejectionReason.RATE_LIMITED)
            raise RateLimited(
                f"API key {key.name!r} has exceeded its limit of {key.rate:g} requests a second",
                retry_after=seconds,
            )
        if (context := current.get()) is not None:
            context.log_fields[log_fields.KEY] = key.name
        return key


def presented_key(authorization: bytes | None, x_api_key: bytes | None) -> bytes | None:
    """The key in the headers Authorization and X-API-Key; the first takes precedence."""
    if authorization is not None:
        scheme, _, key = authorization.partition(b" ")
        if scheme.lower() == b"bearer":
            return key.strip()
    return None if x_api_key is None else x_api_key.strip()
