"""Small requests of large responses that nobody reads."""

from __future__ import annotations

import io
import json
import socket
from contextlib import ExitStack

from PIL import Image

from tests.attack.attacker import Attack, Attacker, post

CONNECTIONS = 40
SIDE = 2048  # four maps of float32: 67 MB
HELD = 15.0


class UnreadAnswers(Attack):
    """Forty connections that ask for the maps of `filters` and read nothing."""

    name = "unread answers"

    def __init__(self) -> None:
        image = io.BytesIO()
        Image.new("L", (SIDE, SIDE)).save(image, "PNG", compress_level=9)
        png = image.getvalue()
        tensor = {
            "name": "pixels",
            "shape": [1],
            "datatype": "BYTES",
            "parameters": {"binary_data_size": len(png) + 4},
        }
        document = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
        text = json.dumps(document).encode()
        body = text + len(png).to_bytes(4, "little") + png
        self._request = post(
            "/v2/models/filters/infer", body, f"Inference-Header-Content-Length: {len(text)}"
        )

    def play(self, attacker: Attacker) -> None:
        with ExitStack() as stack:
            connections = [stack.enter_context(attacker.connect()) for _ in range(CONNECTIONS)]
            for connection in connections:
                attacker.attempt(connection.sendall, self._request)
            attacker.pause(HELD)
            for connection in connections:
                attacker.attempt(_count_first_line, attacker, connection)


def _count_first_line(attacker: Attacker, connection: socket.socket) -> None:
    connection.settimeout(0.0)
    try:
        line = connection.recv(12).decode("latin-1")
    except BlockingIOError:
        line = ""
    attacker.outcomes[line[9:] or "unanswered"] += 1
