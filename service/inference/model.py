"""One version in memory: its manifest, its engine, and the road of its requests."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..batching.admission import Admission
from ..batching.batcher import Batcher
from ..batching.pending_request import Rows, Scores
from ..engine.session import Engine, Port, Provider
from ..errors import InvalidModel
from ..imaging.decoder import Decoder
from ..repository.manifest import MAX_DYNAMIC_PIXELS, Manifest
from ..repository.version_folder import VersionFolder
from ..telemetry.metrics import ModelMetrics, ServerMetrics
from ..telemetry.model_statistics import ModelStatistics
from .batch_metrics import BatchMetrics

logger = logging.getLogger(__name__)

# A network whose single row takes longer than this on one thread is given all its worker's cores: below it,
# waking the other threads costs as much as they save.
HEAVY_ROW_SECONDS = 2e-3

# A run this short is made in the event loop's own turn: handing it to a thread and back costs as much.
INLINE_ROW_SECONDS = 5e-4


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """Everything one version needs to answer; made whole by `Loader`, never changed, drained once."""

    folder: VersionFolder
    manifest: Manifest
    engine: Engine
    decoder: Decoder
    admission: Admission
    batcher: Batcher
    metrics: ModelMetrics
    statistics: ModelStatistics
    load_seconds: float
    executor: Executor | None

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def version(self) -> str:
        return self.manifest.version

    async def close(self, wait_per_row: float) -> None:
        """Answer what was admitted, then let go of the engine's thread.

        An engine that has not come back after `patience` seconds cannot be stopped, and is left behind.
        """
        try:
            async with asyncio.timeout(wait_per_row):
                await self.batcher.drain()
        except TimeoutError:
            logger.error("the engine of %s version %s does not come back", self.name, self.version)
        if self.executor is not None:
            self.executor.shutdown(wait=not self.batcher.busy_seconds)


@dataclass(frozen=True, slots=True)
class Loader:
    """Opens version folders, each checked against its own manifest and golden answers before it is let in.

    Args:
        provider: where the graphs run.
        threads: intra-op threads a graph, or 0 to choose by the graph's weight.
        cores: the cores this process may use.
        queue_limit: images a version may have admitted and unanswered.
        max_queue_delay: seconds an image may wait for company.
        max_wait: seconds that what was admitted may take before the next request is begun.
        max_pixels: pixels of a picture, by its header, at the most.
    """

    telemetry: ServerMetrics
    provider: Provider
    threads: int
    cores: int
    queue_limit: int
    max_queue_delay: float
    max_wait: float
    max_pixels: int

    def __call__(self, folder: VersionFolder) -> LoadedModel:
        """Open, check and warm up one version.

        Raises:
            InvalidModel: it must not be served; the message says why.
        """
        started = time.perf_counter()
        manifest = folder.manifest()
        engine, executor = self._engine(folder, manifest)
        seconds = time.perf_counter() - started
        admission = Admission(self.queue_limit, max_wait=self.max_wait, seconds_per_image=engine.row_seconds)
        classes = manifest.labels if manifest.classifies else []
        metrics = self.telemetry.model(manifest.name, manifest.version, classes, self.queue_limit)
        statistics = ModelStatistics(
            f"{manifest.name}@{manifest.version}", manifest.max_batch_size, self.telemetry.shared
        )
        self.telemetry.loaded(
            manifest.name,
            manifest.version,
            provider=engine.provider,
            sha256=manifest.onnx.sha256,
            seconds=seconds,
        )
        if manifest.evaluation is not None and manifest.evaluation.predicted is not None:
            self.telemetry.evaluated(
                manifest.name, manifest.version, manifest.labels, manifest.evaluation.predicted
            )
        return LoadedModel(
            folder=folder,
            manifest=manifest,
            engine=engine,
            decoder=Decoder(manifest.input, max_pixels=self._max_pixels(manifest)),
            admission=admission,
            batcher=Batcher(
                engine.run,
                gather=engine.gather,
                max_batch_size=manifest.max_batch_size,
                max_queue_delay=self.max_queue_delay,
                wait_per_row=self._wait_per_row(engine, executor),
                executor=executor,
                observe=BatchMetrics(manifest, admission, metrics, statistics),
            ),
            metrics=metrics,
            statistics=statistics,
            load_seconds=seconds,
            executor=executor,
        )

    def _engine(self, folder: VersionFolder, manifest: Manifest) -> tuple[Engine, Executor | None]:
        path = folder.graph(manifest)
        inputs, expected = folder.golden(manifest)
        engine = Engine(path, manifest.output.name, self.provider, self.threads or 1)
        _check_ports(engine, manifest)
        with ExitStack() as stack:
            # What a device's thread has recorded, no other can replay.
            thread = _thread(manifest) if engine.provider == "cuda" else None
            if thread is not None:
                stack.callback(thread.shutdown)
            try:
                if not self.threads and self._is_heavy(engine, inputs[:1]):
                    engine = Engine(path, manifest.output.name, self.provider, self.cores)
                prepare = partial(_prepare, engine, manifest, inputs, expected)
                prepare() if thread is None else thread.submit(prepare).result()
            except InvalidModel:
                raise
            except Exception as error:  # ONNX Runtime's exceptions share no base but Exception
                raise InvalidModel(f"{path.name} cannot be run: {error}") from error
            stack.pop_all()
        return engine, thread or self._executor(engine, manifest)

    def _is_heavy(self, engine: Engine, row: Rows) -> bool:
        if self.cores == 1 or engine.provider != "cpu":
            return False
        engine.warm_up(row, 1)
        return engine.row_seconds > HEAVY_ROW_SECONDS

    def _max_pixels(self, manifest: Manifest) -> int:
        return min(self.max_pixels, MAX_DYNAMIC_PIXELS) if manifest.input.free else self.max_pixels

    def _executor(self, engine: Engine, manifest: Manifest) -> Executor | None:
        # The time that one size took says nothing of another.
        quick = engine.row_seconds <= INLINE_ROW_SECONDS and not manifest.input.free
        return None if quick else _thread(manifest)

    def _wait_per_row(self, engine: Engine, executor: Executor | None) -> float:
        """On the CPU the engine and the decoders have the same cores: to begin before pictures that are being
        decoded gains nothing. A device would stand idle.
        """
        return engine.row_seconds if executor is not None and engine.provider == "cpu" else 0.0


def _thread(manifest: Manifest) -> Executor:
    return ThreadPoolExecutor(1, thread_name_prefix=f"engine {manifest.name} {manifest.version}")


def _prepare(engine: Engine, manifest: Manifest, inputs: Rows, expected: Scores) -> None:
    """Raises InvalidModel where its answers are not those that were published with it."""
    engine.warm_up(inputs[:1], manifest.max_batch_size)
    _check_answers(engine, manifest, inputs, expected)
    engine.shrink_arena(inputs[:1])


def _check_ports(engine: Engine, manifest: Manifest) -> None:
    batch = 1 if manifest.max_batch_size == 1 else None
    expected = (
        Port(manifest.input.name, manifest.input.dtype, (batch, *manifest.input.axes)),
        Port(manifest.output.name, "float32", (batch, *manifest.output_axes)),
    )
    for actual, wanted in zip((engine.input, engine.output), expected, strict=True):
        if (actual.name, actual.dtype) != (wanted.name, wanted.dtype) or not _shapes_agree(actual, wanted):
            raise InvalidModel(f"the graph has {actual}, the manifest says {wanted}")


def _shapes_agree(actual: Port, wanted: Port) -> bool:
    """A free axis of the graph takes any size; the batch axis has to be free unless batches are of one."""
    return len(actual.shape) == len(wanted.shape) and all(
        axis is None or axis == size for axis, size in zip(actual.shape, wanted.shape, strict=True)
    )


def _check_answers(engine: Engine, manifest: Manifest, inputs: Rows, expected: Scores) -> None:
    """Replay the golden inputs `(n, …)` against the golden scores `(n, classes)`."""
    step = manifest.max_batch_size
    answers = [engine.run(inputs[start : start + step]) for start in range(0, len(inputs), step)]
    difference = float(np.max(np.abs(np.concatenate(answers) - expected)))
    if not difference <= manifest.golden.tolerance:  # NaN is a mismatch too
        raise InvalidModel(
            f"the golden answers are missed by {difference:.2g}, "
            f"which is more than {manifest.golden.tolerance:g}"
        )
