"""The limits of requests and connections, derived from the settings."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ..system.fd_limit import raise_fd_limit
from .settings import Settings

# An image in JSON is an object with two or three members; requests have a few more of their own.
MEMBERS_PER_IMAGE = 32
MORE_MEMBERS = 4096

# Connections besides `max_connections` that may be open, as a share of it: with a reserved slot, with one on
# the admin port, and while they are closed.
RESERVED_SHARE = 0.25
RESERVED_ADMIN_SHARE = 0.015625
CLOSING_SHARE = 0.0625
MIN_SHARE = 4

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenConnections:
    """The connections of one process, each of which is an open file.

    Attributes:
        http: connections that may send any request.
        grpc: connections of gRPC.
        open_files: the process's limit of open files.
    """

    http: int
    grpc: int
    open_files: int

    @classmethod
    def of(cls, settings: Settings) -> OpenConnections:
        """Raise the limit of open files; if it cannot be raised enough, lower both numbers in proportion."""
        http = settings.max_connections
        grpc = settings.max_connections if settings.grpc_port else 0
        wanted = http + _reserves(http) + grpc
        allowed, open_files = raise_fd_limit(wanted)
        ratio = allowed / wanted
        while http + _reserves(http) + grpc > allowed and http > 1:
            http = max(1, int(settings.max_connections * ratio))
            grpc = int(settings.max_connections * ratio) if settings.grpc_port else 0
            ratio *= 0.99  # the reserves have a minimum
        return cls(http, grpc, open_files)


@dataclass(frozen=True, slots=True)
class JsonLimits:
    """Limits of a JSON body.

    Attributes:
        max_values: numbers in arrays, or all values of a small body.
        max_depth: nesting of lists and objects.
        max_members: values of a large body that are not in arrays of numbers.
    """

    max_values: int
    max_depth: int
    max_members: int


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a request in any protocol.

    Attributes:
        request_timeout: seconds, for a request without a deadline of its own.
        max_message_bytes, max_calls, max_grpc_connections: limits of gRPC.
        handshake_timeout: seconds in which a gRPC connection must be established.
        arrival_timeout, write_timeout, idle_timeout: seconds in which a gRPC message must arrive, in which a
            response must be read, and after which a connection without a call is closed.
    """

    request_timeout: float
    max_body_bytes: int
    max_images: int
    max_parts: int
    json: JsonLimits
    max_message_bytes: int
    max_calls: int
    max_grpc_connections: int
    handshake_timeout: float
    arrival_timeout: float
    write_timeout: float
    idle_timeout: float

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        return cls(
            request_timeout=settings.request_timeout_ms / 1000,
            max_body_bytes=settings.max_body_bytes,
            max_images=settings.max_images,
            max_parts=settings.max_parts,
            json=JsonLimits(
                settings.max_json_values,
                settings.max_json_depth,
                min(settings.max_json_values, MEMBERS_PER_IMAGE * settings.max_images + MORE_MEMBERS),
            ),
            max_message_bytes=settings.grpc_max_message_bytes,
            max_calls=settings.max_connections,
            max_grpc_connections=OpenConnections.of(settings).grpc,
            handshake_timeout=settings.head_timeout_s,
            arrival_timeout=settings.body_timeout_s,
            write_timeout=settings.write_timeout_s,
            idle_timeout=float(settings.keep_alive_s),
        )


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of connections in one process; sizes in bytes, times in seconds.

    Attributes:
        max_per_address: connections of one client's address; 0 for no limit.
    """

    max_connections: int
    max_per_address: int
    max_head_bytes: int
    max_headers: int
    min_body_rate: int
    head_timeout: float
    body_timeout: float
    write_timeout: float

    @classmethod
    def of(cls, settings: Settings) -> ConnectionLimits:
        """Raise the limit of open files, and log a warning if it allows fewer connections than configured."""
        connections = OpenConnections.of(settings)
        if connections.http < settings.max_connections:
            logger.warning(
                "max_connections lowered to %d, and connections of gRPC to %d: at most %d files may be open "
                "(ulimit -n)",
                connections.http,
                connections.grpc,
                connections.open_files,
            )
        return cls(
            max_connections=connections.http,
            max_per_address=settings.max_connections_per_address,
            max_head_bytes=settings.max_head_bytes,
            max_headers=settings.max_headers,
            min_body_rate=settings.min_body_rate,
            head_timeout=settings.head_timeout_s,
            body_timeout=settings.body_timeout_s,
            write_timeout=settings.write_timeout_s,
        )

    @property
    def reserved_connections(self) -> int:
        """Connections above `max_connections` that may send only probes."""
        return _share(self.max_connections, RESERVED_SHARE)

    @property
    def reserved_admin_connections(self) -> int:
        """Connections of the admin port above `max_connections`."""
        return _share(self.max_connections, RESERVED_ADMIN_SHARE)

    @property
    def closing_connections(self) -> int:
        """Connections that may take a moment to close after they are evicted."""
        return _share(self.max_connections, CLOSING_SHARE)


def _share(connections: int, share: float) -> int:
    return max(MIN_SHARE, int(connections * share))


def _reserves(connections: int) -> int:
    """Open connections besides this number."""
    return sum(_share(connections, share) for share in (RESERVED_SHARE, RESERVED_ADMIN_SHARE, CLOSING_SHARE))
