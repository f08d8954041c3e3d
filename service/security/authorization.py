"""Who is let in: the one decision on a caller's key, whatever door it came to."""

from __future__ import annotations

import re

from ..errors import Forbidden, RateLimited, Unauthenticated
from ..telemetry.rejections import RejectionCounters, RejectionReason
from ..telemetry.request_context import current
from .api_keys import ApiKeyStore, Key, Scope
from .rate_limiter import RateLimiter

# What a load balancer, a container runtime or Kubernetes asks, and has no key for.
PROBES = frozenset({"/livez", "/readyz", "/ping", "/v2/health/live", "/v2/health/ready"})
GRPC_PROBES = frozenset(
    {
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/inference.GRPCInferenceService/ServerLive",
        "/inference.GRPCInferenceService/ServerReady",
    }
)
# What steers the server rather than asks a model.
_ADMIN = re.compile(
    r"/admin(/.*)?|/v2/(repository|systemsharedmemory|cudasharedmemory|logging|trace)(/.*)?"
    r"|/v2/models/[^/]*/trace/.*",
    re.DOTALL,
)
_GRPC_ADMIN = re.compile(r".*/(Repository|SystemSharedMemory|CudaSharedMemory|TraceSetting|LogSettings).*")


def scope_of_path(path: str) -> Scope | None:
    """What a request for a path needs; None for a probe, which needs nothing."""
    if path in PROBES:
        return None
    if path == "/metrics":
        return Scope.METRICS
    return Scope.ADMIN if _ADMIN.fullmatch(path) else Scope.INFER


def scope_of_method(method: str) -> Scope | None:
    """The same for a gRPC method, `/<service>/<method>`."""
    if method in GRPC_PROBES:
        return None
    return Scope.ADMIN if _GRPC_ADMIN.fullmatch(method) else Scope.INFER


class Authorizer:
    """Lets a caller in, by its key, for one thing at a time."""

    def __init__(self, keyring: ApiKeyStore, rates: RateLimiter, refusals: RejectionCounters) -> None:
        self._keyring = keyring
        self._rates = rates
        self._refusals = refusals

    def admit(self, presented: bytes | None, scope: Scope) -> Key:
        """The key that was presented, if it may ask for `scope` now.

        Raises:
            Unauthenticated, Forbidden, RateLimited: it may not.
        """
        key = None if presented is None else self._keyring.find(presented)
        if key is None:
            self._refusals.count(RejectionReason.UNAUTHENTICATED)
            raise Unauthenticated(
                "an API key is needed, as Authorization: Bearer … or as X-API-Key"
                if presented is None
                else "this API key is not known here"
            )
        if scope not in key.scopes:
            self._refusals.count(RejectionReason.FORBIDDEN)
            raise Forbidden(f"the API key of {key.name} has not the scope {scope}")
        if key.rate is not None and (seconds := self._rates.take(key.name, key.rate)):
            self._refusals.count(RejectionReason.RATE_LIMITED)
            raise RateLimited(
                f"the API key of {key.name} may ask {key.rate:g} times a second", retry_after=seconds
            )
        if (context := current.get()) is not None:
            context.log_fields["key"] = key.name
        return key


def presented_key(authorization: bytes | None, x_api_key: bytes | None) -> bytes | None:
    """The key in the two headers that may bear one; the first outranks the second."""
    if authorization is not None:
        scheme, _, key = authorization.partition(b" ")
        if scheme.lower() == b"bearer":
            return key.strip()
    return None if x_api_key is None else x_api_key.strip()
