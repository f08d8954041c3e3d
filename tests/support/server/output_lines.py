"""Reads the output of a process continuously, so that it never blocks and tests can wait for a line."""

from __future__ import annotations

import re
import threading
from typing import IO

DEADLINE = 60.0


class Lines:
    """The lines of a pipe, which ends when the last process closes it."""

    def __init__(self, pipe: IO[str]) -> None:
        self._pipe = pipe
        self._text = ""
        self._ended = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        with self._changed:
            return self._text

    @property
    def ended(self) -> bool:
        with self._changed:
            return self._ended

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Waits for the first match in the output, where `^` is the start of a line."""
        search = re.compile(pattern, re.MULTILINE).search
        with self._changed:
            self._changed.wait_for(lambda: search(self._text) or self._ended, DEADLINE)
            found = search(self._text)
            assert found, f"{pattern!r} does not match the output: {self._text}"
            return found

    def wait_for_end(self) -> str:
        """Waits for the end; returns the whole output."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._ended, DEADLINE), f"not ended: {self._text}"
            return self._text

    def close(self) -> None:
        """Close the pipe, after every writer has ended."""
        self._reader.join(DEADLINE)
        self._pipe.close()

    def _read(self) -> None:
        for line in self._pipe:
            with self._changed:
                self._text += line
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
