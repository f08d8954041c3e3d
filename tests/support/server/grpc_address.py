"""Where a server process answers gRPC."""

from __future__ import annotations

from tests.support.server.server_process import ServerProcess

# On a free port; the flag outranks the variable by which the harness turns gRPC off.
FREE_PORT = ("--grpc-port", "-1")


def grpc_address(server: ServerProcess) -> str:
    """As it has announced it."""
    return server.stdout.wait_for(r"^  grpc: (\S+)$")[1]
