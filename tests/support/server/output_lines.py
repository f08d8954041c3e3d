"""What a process writes, read as it comes, so that it is never held up and a test can wait for a line."""

from __future__ import annotations

import re
import threading
from typing import IO

DEADLINE = 60.0


class Lines:
    """The lines of a pipe, up to its end, which comes when the last process that holds it has ended."""

    def __init__(self, pipe: IO[str]) -> None:
        self._pipe = pipe
        self._text = ""
        self._ended = False
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        with self._news:
            return self._text

    @property
    def ended(self) -> bool:
        with self._news:
            return self._ended

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first match in what is written, now or later, where `^` is the start of a line."""
        search = re.compile(pattern, re.MULTILINE).search
        with self._news:
            self._news.wait_for(lambda: search(self._text) or self._ended, DEADLINE)
            found = search(self._text)
            assert found, f"{pattern!r} was not written, but this: {self._text}"
            return found

    def wait_for_end(self) -> str:
        """All that was written."""
        with self._news:
            assert self._news.wait_for(lambda: self._ended, DEADLINE), f"still open after: {self._text}"
            return self._text

    def close(self) -> None:
        """Only once every writer has ended."""
        self._reader.join(DEADLINE)
        self._pipe.close()

    def _read(self) -> None:
        for line in self._pipe:
            with self._news:
                self._text += line
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()
