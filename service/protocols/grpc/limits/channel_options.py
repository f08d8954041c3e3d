"""The options of gRPC's library that bound what it does and holds before Python sees a call."""

from __future__ import annotations

from ....config.limits import Limits

# Concurrent calls of one connection; clients keep further ones back until others end. The library accepts
# new streams while reset ones are still in its queues, so this number also bounds what resets cost.
MAX_STREAMS = 100
# Bytes of a stream that the client may send before the server reads it: HTTP/2's initial window.
WINDOW_BYTES = 65_535
MAX_METADATA_BYTES = 16 * 1024
# Calls that the library holds until the event loop takes them; it cancels further ones, also of others. Each
# may hold 20 kB. There is room for 40 connections that begin all the calls at once that they may have.
MAX_QUEUED_CALLS = 4000
# Dead connections are found after two minutes at most, also those of which a firewall has lost track.
PING_INTERVAL_MS = 60_000
PING_TIMEOUT_MS = 20_000


def channel_options(limits: Limits) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", limits.max_message_bytes),
        ("grpc.max_send_message_length", limits.max_message_bytes),
        ("grpc.max_concurrent_streams", min(limits.max_calls, MAX_STREAMS)),
        # Without this, the window of each stream grows to megabytes on a fast connection.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", WINDOW_BYTES),
        # Messages are decompressed within the limits; see decompression.py.
        ("grpc.per_message_decompression", 0),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.server.max_pending_requests", MAX_QUEUED_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", MAX_QUEUED_CALLS),
        ("grpc.max_allowed_incoming_connections", limits.max_grpc_connections),
        ("grpc.server_handshake_timeout_ms", int(limits.handshake_timeout * 1000)),
        ("grpc.max_connection_idle_ms", int(limits.idle_timeout * 1000)),
        ("grpc.keepalive_time_ms", PING_INTERVAL_MS),
        ("grpc.keepalive_timeout_ms", PING_TIMEOUT_MS),
        # The workers share the port; the process that reserved it keeps other servers off.
        ("grpc.so_reuseport", 1),
    ]
