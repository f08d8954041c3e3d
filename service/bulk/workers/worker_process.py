"""A process that classifies chunks of files for another one."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Protocol

from ...errors import ConvserveError
from ..garbage import SeldomGarbage
from ..rows import Chunk, Predictions

# A terminal sends these to all processes of a command; the first process decides.
TERMINAL_SIGNALS = (signal.SIGINT, signal.SIGHUP)


class FileClassifying(Protocol):
    """Classifies files; `chunk` of them should be classified together."""

    @property
    def model(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def top_k(self) -> int: ...
    @property
    def chunk(self) -> int: ...

    def classify(self, paths: Sequence[str], problems: Mapping[int, str]) -> Predictions: ...


@dataclass(frozen=True, slots=True)
class Ready:
    """The first message of a worker: its model, the classes of an image and the files of a chunk."""

    model: str
    version: str
    top_k: int
    chunk: int

    @classmethod
    def of(cls, classifier: FileClassifying) -> Ready:
        return cls(classifier.model, classifier.version, classifier.top_k, classifier.chunk)


def work(connection: Connection, factory: Callable[[], FileClassifying]) -> None:
    """Send `Ready` or the error of the factory, then the predictions of each chunk that is received.

    The process ends when the other end of the connection is closed, whatever closes it: the first process may
    be killed.
    """
    for number in TERMINAL_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TERMINAL_SIGNALS)
    try:
        classifier = factory()
    except ConvserveError as error:
        connection.send(error)
        return
    garbage = SeldomGarbage()
    try:
        connection.send(Ready.of(classifier))
        while True:
            chunk: Chunk = connection.recv()
            connection.send(classifier.classify(chunk.paths, chunk.problems))
            garbage.after_chunk()
    except (EOFError, ConnectionError):
        sys.exit(0)
