"""Upper limits of a Python server: an ASGI application without a framework, with or without a model.

    python -m benchmarks.baselines.asgi_server MODEL.onnx --port 8001 --workers 2
    python -m benchmarks.baselines.asgi_server --port 8001

It has no validation, batches, queue or limits. Without a model it returns a constant response.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.baselines import command_line
from benchmarks.baselines.fastapi_server import MODEL, Classifier

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]
CONSTANT = b'{"predictions":[{"label":"hello"}]}'


def create_app() -> Application:
    """Return an application that classifies each body, or sends a constant response without a model."""
    model = os.environ.get(MODEL)
    classifier = Classifier(Path(model)) if model else None

    def respond(body: bytes) -> bytes:
        if classifier is None or not body:
            return CONSTANT
        return json.dumps({"predictions": classifier.classify([body])}).encode()

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        content = respond(body)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    return app


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


if __name__ == "__main__":
    command_line.serve("benchmarks.baselines.asgi_server", __doc__, MODEL, model_required=False)
