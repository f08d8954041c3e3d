"""What one request, and what one connection, may bring and how long it may take."""

from __future__ import annotations

from dataclasses import dataclass

from ..system.fd_limit import room_for_connections
from .settings import Settings


@dataclass(frozen=True, slots=True)
class JsonLimits:
    """Of one body of JSON: values in all, and lists and objects within each other."""

    max_values: int
    max_depth: int


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a request, whatever dialect it speaks.

    Attributes:
        request_timeout: in seconds, for a request that names no deadline of its own.
        max_message_bytes, max_calls: of gRPC, which has no other bodies and no other connections.
        handshake_timeout: seconds that a connection of gRPC may take to begin.
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
    """Sizes in bytes, times in seconds; the connections and the bytes of bodies are those of one process."""

    max_connections: int
    max_head_bytes: int
    max_headers: int
    max_bodies_bytes: int
    head_timeout: float
    body_timeout: float
    write_timeout: float

    @classmethod
    def of(cls, settings: Settings) -> ConnectionLimits:
        """Those of this process, which may open more files from here on, or has to do with fewer."""
        return cls(
            max_connections=room_for_connections(settings.max_connections),
            max_head_bytes=settings.max_head_bytes,
            max_headers=settings.max_headers,
            max_bodies_bytes=settings.max_bodies_bytes,
            head_timeout=settings.head_timeout_s,
            body_timeout=settings.body_timeout_s,
            write_timeout=settings.write_timeout_s,
        )
