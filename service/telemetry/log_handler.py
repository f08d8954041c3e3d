"""Writes log lines to a stream, with one system call per iteration of the event loop."""

from __future__ import annotations

import asyncio
import logging
from typing import TextIO


class BatchingHandler(logging.Handler):
    """Collects the lines logged in one iteration of the event loop, and writes them in the next one.

    Warnings, errors and lines logged outside an event loop are written at once, after the lines collected
    before them.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: list[str] = []
        self._flushed_by: asyncio.AbstractEventLoop | None = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.add(self.format(record), immediate=record.levelno >= logging.WARNING)
        except Exception:
            self.handleError(record)

    def add(self, line: str, *, immediate: bool = False) -> None:
        """Collect a line, or write it at once."""
        self.acquire()
        try:
            self._lines.append(line)
            loop = None if immediate else _running_loop()
            if loop is None:
                self.flush()
            elif loop is not self._flushed_by:
                self._flushed_by = loop
                loop.call_soon(self.flush)
        finally:
            self.release()

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
