"""Writes log lines to a stream, those of one turn of the event loop in one system call."""

from __future__ import annotations

import asyncio
import logging
from typing import TextIO


class BatchingHandler(logging.Handler):
    """Collects the lines that are logged in one turn of the event loop, and writes them at its end.

    A warning or an error is written at once, behind the lines before it, and so is a line from outside of an
    event loop.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: list[str] = []
        self._flushed_by: asyncio.AbstractEventLoop | None = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.append(self.format(record))
            loop = None if record.levelno >= logging.WARNING else _running_loop()
            if loop is None:
                self.flush()
            elif loop is not self._flushed_by:
                self._flushed_by = loop
                loop.call_soon(self.flush)
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Write the lines that are collected; `logging.shutdown` calls it at the end of the process."""
        self.acquire()
        try:
            self._flushed_by = None
            if self._lines:
                lines, self._lines = self._lines, []
                self._stream.write("\n".join([*lines, ""]))
                self._stream.flush()
        finally:
            self.release()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
