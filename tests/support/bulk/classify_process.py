"""Runs `convserve classify` while a test feeds its list of paths."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.models.gray_classifier import CLASSES, image, level
from tests.support.server.output_lines import DEADLINE
from tests.support.server.server_process import PYTHON_M_SERVICE, ROOT, environment


def draw_shades(folder: Path, count: int) -> list[Path]:
    """Write images of the ten shades in turn; returns their paths in the order of a listing."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = [image(level(index)) for index in range(CLASSES)]
    paths = [folder / f"{number:05}.png" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(contents[number % CLASSES])
    return paths


class ClassifyProcess:
    """A running command, whose list of paths is written by `feed`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    @property
    def pid(self) -> int:
        return self.process.pid

    def feed(self, paths: Iterable[Path]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"".join(os.fsencode(path) + b"\n" for path in paths))
        self.process.stdin.flush()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the command and its workers, as a terminal does."""
        os.killpg(self.pid, number)

    def end(self) -> tuple[int, str, str]:
        """Close the list and wait; returns the exit code, the output and the messages."""
        out, err = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, out.decode(), err.decode()


@contextmanager
def classify_process(*arguments: str | Path) -> Iterator[ClassifyProcess]:
    """Run `convserve classify … -` in a process group of its own."""
    command = [*PYTHON_M_SERVICE, "classify", *map(str, arguments), "-"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )
    try:
        yield ClassifyProcess(process)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=DEADLINE)
