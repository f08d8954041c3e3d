"""Authorizes requests by API key and scope, for HTTP and gRPC."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import Forbidden, InvalidInput, RateLimited, Unauthenticated
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
# Calls that need the scope `infer`. Any other needs `admin`, also one that the server does not know.
_GRPC_INFER = frozenset(
    {
        "/inference.GRPCInferenceService/ServerMetadata",
        "/inference.GRPCInferenceService/ModelReady",
        "/inference.GRPCInferenceService/ModelMetadata",
        "/inference.GRPCInferenceService/ModelInfer",
        "/inference.GRPCInferenceService/ModelStreamInfer",
        "/inference.GRPCInferenceService/ModelConfig",
        "/inference.GRPCInferenceService/ModelStatistics",
        "/grpc.health.v1.Health/List",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    }
)


def scope_of_method(method: str) -> Scope | None:
    """The scope that a gRPC method, `/<service>/<method>`, needs; None for a probe."""
    if method in GRPC_PROBES:
        return None
    return Scope.INFER if method in _GRPC_INFER else Scope.ADMIN


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


def presented_key(authorization: Sequence[bytes], x_api_key: Sequence[bytes]) -> bytes | None:
    """The key in the headers Authorization and X-API-Key of a request; None if it has none.

    A proxy or another program might take a different one of several keys.

    Raises:
        InvalidInput: a header occurs more than once, or the headers have different keys.
    """
    if len(authorization) > 1 or len(x_api_key) > 1:
        raise InvalidInput("the request has more than one header Authorization or X-API-Key")
    bearer = None
    if authorization:
        scheme, _, key = authorization[0].partition(b" ")
        if scheme.lower() == b"bearer":
            bearer = key.strip()
    other = x_api_key[0].strip() if x_api_key else None
    if bearer is not None and other is not None and bearer != other:
        raise InvalidInput("the headers Authorization and X-API-Key have different keys")
    return other if bearer is None else bearer
