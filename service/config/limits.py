"""The limits of requests and connections, derived from the settings."""

from __future__ import annotations

from dataclasses import dataclass

from ..system.fd_limit import raise_fd_limit
from .settings import Settings


@dataclass(frozen=True, slots=True)
class JsonLimits:
    """Limits of a JSON body: the number of values and the nesting depth."""

    max_values: int
    max_depth: int


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a request in any protocol.

    Attributes:
        request_timeout: seconds, for a request without a deadline of its own.
        max_message_bytes, max_calls: limits of gRPC.
        handshake_timeout: seconds in which a gRPC connection must be established.
    """

    request_timeout: float
    max_body_bytes: int
    max_images: int
    max_parts: int
    json: JsonLimits
    max_message_bytes: int
    max_calls: int
    handshake_timeout: float

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        return cls(
            request_timeout=settings.request_timeout_ms / 1000,
            max_body_bytes=settings.max_body_bytes,
            max_images=settings.max_images,
            max_parts=settings.max_parts,
            json=JsonLimits(settings.max_json_values, settings.max_json_depth),
            max_message_bytes=settings.grpc_max_message_bytes,
            max_calls=settings.max_connections,
            handshake_timeout=settings.head_timeout_s,
        )


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of connections in one process; sizes in bytes, times in seconds."""

    max_connections: int
    max_head_bytes: int
    max_headers: int
    min_body_rate: int
    head_timeout: float
    body_timeout: float
    write_timeout: float

    @classmethod
    def of(cls, settings: Settings) -> ConnectionLimits:
        """Raise the limit of open files, and lower `max_connections` if it cannot be raised enough."""
        return cls(
            max_connections=raise_fd_limit(settings.max_connections),
            max_head_bytes=settings.max_head_bytes,
            max_headers=settings.max_headers,
            min_body_rate=settings.min_body_rate,
            head_timeout=settings.head_timeout_s,
            body_timeout=settings.body_timeout_s,
            write_timeout=settings.write_timeout_s,
        )
