"""Keeps the inspect graphs of models open while they are used."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..batching.pending_request import NEVER
from ..engine.inspect_session import InspectSession
from ..errors import ConvserveError, DeadlineExceeded, InferenceFailed, InvalidModel, PayloadTooLarge
from ..inference.model import LoadedModel
from ..repository.inspect_file import InspectFile

T = TypeVar("T")
Values = Mapping[str, NDArray[np.float32]]
Key = tuple[str, str, str]

# After so long an unused graph is closed.
IDLE_SECONDS: Final = 60.0
# Descriptions that are kept.
MAX_FILES: Final = 256
# A graph takes its weights, and the outputs of all layers of a few rows.
OVERHEAD: Final = 1.5
# Added to the process's priority: explanations get what is left of the cores.
NICENESS: Final = 10

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Open:
    session: InspectSession
    size: int
    last_used: float


class Inspector:
    """Runs inspect graphs in one thread of low priority.

    Args:
        max_bytes: memory of all open graphs together. For another, the one that was used longest ago is
            closed.
        clock: in seconds.
    """

    def __init__(self, max_bytes: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._executor = ThreadPoolExecutor(1, "explain", initializer=_lower_priority)
        # Changed only by the thread.
        self._open: dict[Key, _Open] = {}
        self._files: dict[Key, InspectFile | None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)

    @property
    def open_models(self) -> Sequence[str]:
        """The names of the models whose graphs are open."""
        return [name for name, _, _ in self._open]

    async def file_of(self, model: LoadedModel) -> InspectFile | None:
        """The inspect graph's description; None if the version has none, or one that cannot be read."""
        key = _key(model)
        if key not in self._files:
            return await self.call(lambda: self._file_of(model), NEVER)
        return self._files[key]

    async def call(self, job: Callable[[], T], deadline: float) -> T:
        """The result of a job in the thread; a caller that is cancelled leaves a queued job undone.

        Raises:
            DeadlineExceeded: the deadline passed first.
        """
        running = asyncio.get_running_loop().run_in_executor(self._executor, job)
        try:
            async with asyncio.timeout_at(None if deadline == NEVER else deadline):
                return await running
        except TimeoutError as error:
            raise DeadlineExceeded("the deadline passed before the image was explained") from error

    async def run(
        self, model: LoadedModel, names: Sequence[str], inputs: Mapping[str, NDArray[Any]], deadline: float
    ) -> Values:
        """The values of outputs of a model's inspect graph, which is opened if it is not.

        Raises:
            DeadlineExceeded: the deadline passed first.
            InferenceFailed: the graph cannot be opened or run.
            PayloadTooLarge: the graph needs more memory than there is for all.
        """
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._close_later)
        return await self.call(lambda: self._run(model, names, inputs), deadline)

    def _run(self, model: LoadedModel, names: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> Values:
        session = self._session(model)
        try:
            return session.run(names, inputs)
        except Exception as error:  # ONNX Runtime's exceptions have no other common base class
            logger.exception("the inspect graph of %s version %s failed", model.name, model.version)
            raise InferenceFailed("the network's inspect graph failed on this image") from error

    def _session(self, model: LoadedModel) -> InspectSession:
        key = _key(model)
        found = self._open.get(key)
        if found is None:
            file = self._file_of(model)
            if file is None:
                raise InferenceFailed("the network's inspect graph cannot be opened")
            size = int(OVERHEAD * file.weight_bytes)
            self._make_room(model, size)
            try:
                session = InspectSession(file.path, file.read_weights())
            except InvalidModel as error:
                logger.error("%s version %s: %s", model.name, model.version, error)
                raise InferenceFailed("the network's inspect graph cannot be opened") from error
            found = self._open[key] = _Open(session, size, self._clock())
        found.last_used = self._clock()
        return found.session

    def _make_room(self, model: LoadedModel, size: int) -> None:
        if size > self._max_bytes:
            raise PayloadTooLarge(
                f"to look into {model.name} takes {size:,} bytes; the server has {self._max_bytes:,} for it "
                "(CONVSERVE_EXPLAIN_BYTES)"
            )
        while self._open and sum(each.size for each in self._open.values()) + size > self._max_bytes:
            del self._open[min(self._open, key=lambda key: self._open[key].last_used)]

    def _file_of(self, model: LoadedModel) -> InspectFile | None:
        key = _key(model)
        if key not in self._files:
            if len(self._files) >= MAX_FILES:  # of versions that are not served any more
                self._files.clear()
            self._files[key] = _read(model)
        return self._files[key]

    def _close_later(self) -> None:
        """Close the graphs that are not used any more, in the thread; check again while there are others."""
        self._timer = None
        if self._open:
            self._timer = asyncio.get_running_loop().call_later(IDLE_SECONDS / 2, self._close_later)
        with suppress(RuntimeError):  # the executor is shut down
            self._executor.submit(self.close_idle)

    def close_idle(self) -> None:
        """Close the graphs that are not used any more; only the thread may call it."""
        now = self._clock()
        for key, each in list(self._open.items()):
            if now - each.last_used >= IDLE_SECONDS:
                del self._open[key]


def _key(model: LoadedModel) -> Key:
    """The identity of a version's inspect graph: a version may be replaced by another of its number."""
    inspect = model.manifest.inspect
    digests = {each.name: each.sha256 for each in model.manifest.files}
    return model.name, model.version, "" if inspect is None else digests.get(inspect.file, "")


def _read(model: LoadedModel) -> InspectFile | None:
    manifest = model.manifest
    if manifest.inspect is None:
        return None
    allowed = frozenset({manifest.onnx.file, *(each.file for each in manifest.onnx.external)})
    try:
        return InspectFile.read(model.folder.path / manifest.inspect.file, allowed)
    except ConvserveError as error:
        logger.error("%s version %s cannot be looked into: %s", model.name, model.version, error)
        return None


def _lower_priority() -> None:
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
