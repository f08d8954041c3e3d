"""An answer that is whole leaves in one piece, and waits for a client that does not read."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import uvicorn
from uvicorn.server import ServerState

from service.asgi.app import build
from service.config.limits import ConnectionLimits
from service.config.settings import Settings
from service.http.direct import ShortWays
from service.http.protocol import Connections
from service.telemetry.rejections import RejectionCounters
from tests.support.http.raw_http import head
from tests.support.models.gray_classifier import image, level

BODY = image(level(7))
REQUEST = head(f"Content-Length: {len(BODY)}") + BODY
# Of the event loop, in which a small network has long answered.
TURNS = 100


class Pieces(asyncio.Transport):
    """What is written, piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.some = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))
        self.some.set()

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.mark.parametrize("direct", [True, False])
def test_in_one_piece_once_the_client_reads(repository: Path, direct: bool) -> None:
    asyncio.run(converse(repository, direct))


async def converse(repository: Path, direct: bool) -> None:
    settings = Settings(models=repository)
    service = build(settings)
    app = service.app
    refusals = RejectionCounters(service.telemetry.connection_rejections)
    shared = Connections(ConnectionLimits.of(settings), refusals, ShortWays() if direct else None)
    config = uvicorn.Config(app, lifespan="off", log_config=None)
    config.load()
    async with app.router.lifespan_context(app):
        transport = Pieces()
        connection = shared.make(config, ServerState(), {}, asyncio.get_running_loop())
        connection.connection_made(transport)
        connection.data_received(REQUEST)
        await transport.some.wait()
        assert transport.written[0].startswith(b"HTTP/1.1 200 OK\r\n")
        assert len(transport.written) == (1 if direct else 2)

        await asyncio.wait(connection.tasks)
        transport.written.clear()
        connection.pause_writing()
        connection.data_received(REQUEST)
        (task,) = connection.tasks
        for _ in range(TURNS):
            await asyncio.sleep(0)
        assert not task.done()
        assert transport.written == []
        connection.resume_writing()
        await task
        assert b"".join(transport.written).startswith(b"HTTP/1.1 200 OK\r\n")
        connection.connection_lost(None)
