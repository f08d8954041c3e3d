"""gRPC's library needs few iterations of the event loop, which are long while the server is busy."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

from service.protocols.grpc.call_acceptors import AT_A_TIME
from service.protocols.grpc.event_wakeups import emptied_wakeups
from tests.conftest import ROOT
from tests.support.http.grpc_events_process import CALLS

# Without acceptors, each call takes five iterations.
MAX_ITERATIONS_OF_CALLS = 10 * CALLS // AT_A_TIME
# If each wake-up reads one byte, it takes about 630.
MAX_ITERATIONS_OF_MESSAGES = 50


def test_many_calls_and_messages_take_few_iterations() -> None:
    """In a process of its own, as the library keeps its socket for the whole process."""
    command = [sys.executable, "-m", "tests.support.http.grpc_events_process"]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    counted = json.loads(output)
    assert counted["calls"] <= MAX_ITERATIONS_OF_CALLS
    assert counted["messages"] <= MAX_ITERATIONS_OF_MESSAGES


def test_socket_is_emptied_at_once() -> None:
    original = socket.socketpair
    with emptied_wakeups():
        read, written = socket.socketpair()
    assert socket.socketpair is original
    with read, written:
        written.sendall(b"1" * 100)
        assert read.recv(1) == b"1" * 100
