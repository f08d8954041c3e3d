"""Lists files in a thread, so that results are received while the listing waits for standard input."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

from ..rows import Chunk


class ChunkFeeder:
    """Sends chunks through a pipe, which bounds how far the listing runs ahead.

    Attributes:
        connection: receives each chunk, or the exception that ended the listing; at its end stands EOF.
    """

    def __init__(self, chunks: Iterable[Chunk]) -> None:
        self.connection, writer = Pipe(duplex=False)
        # A daemon, because it may wait for standard input when the command ends.
        thread = threading.Thread(target=_feed, args=(chunks, writer), name="listing", daemon=True)
        thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()


def _feed(chunks: Iterable[Chunk], writer: Connection) -> None:
    with writer, suppress(BrokenPipeError):  # the other end is closed once nobody needs more chunks
        try:
            for chunk in chunks:
                writer.send(chunk)
        except BrokenPipeError:
            raise
        except Exception as error:
            writer.send(error)
