"""A transport that records what a protocol writes to it."""

from __future__ import annotations

import asyncio


class RecordingTransport(asyncio.Transport):
    """Records each write, and whether it was closed, half-closed or aborted."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 8000), "peername": ("127.0.0.1", 50000)})
        self.writes: list[bytes] = []
        self.pauses: list[str] = []
        self.closed = self.half_closed = self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.half_closed:
            raise RuntimeError("Cannot call write() after write_eof()")
        if data:
            self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed or self.aborted

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        self.pauses.append("pause")

    def resume_reading(self) -> None:
        self.pauses.append("resume")

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.half_closed = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True
