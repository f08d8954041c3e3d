"""Loads model versions and checks each against its manifest and its golden outputs."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from ..batching.admission import Admission
from ..batching.batcher import Batcher
from ..batching.pending_request import Rows, Scores
from ..engine.session import Engine, Provider, TensorSpec
from ..errors import InvalidModel
from ..imaging.decoder import Decoder
from ..repository.content_digest import content_digest
from ..repository.manifest import MAX_DYNAMIC_PIXELS, Manifest
from ..repository.version_folder import VersionFolder
from ..system.memory_limit import limited_allocation
from ..telemetry.metrics import ModelMetrics, ServerMetrics
from ..telemetry.model_statistics import ModelStatistics
from .batch_metrics import BatchMetrics
from .footprint import Footprint
from .idle_arena import IdleArena
from .model import LoadedModel

# A network whose single row takes longer than this on one thread gets all cores of its worker. For a
# faster one, waking the other threads costs as much as they save.
HEAVY_ROW_SECONDS = 2e-3

# Elements of the rows in one run of a network that takes images of any size. Larger batches are not faster,
# and take several times as much memory as all of their images.
MAX_BATCH_ELEMENTS = 256 * 1024

# A batch of a heavy network takes about this long on the CPU, or has this many rows. Larger ones are not
# faster per row; they take more memory, and delay the requests behind them.
MAX_BATCH_SECONDS = 0.2
MIN_BATCH_ROWS = 8

# A run this short is called in the event loop: a handover to a thread and back takes as long.
INLINE_ROW_SECONDS = 5e-4

# What loading a version may allocate for the outputs of its layers, on the CPU.
LOAD_BYTES = 2 << 30

Step = Literal["checking", "loading", "warming"]


@dataclass(frozen=True, slots=True)
class Loader:
    """Opens version folders, checks and warms up their engines.

    Args:
        provider: ONNX Runtime's execution provider for all graphs.
        threads: intra-op threads per graph, or 0 to choose them by the graph's run time.
        cores: the cores that this process may use.
        queue_limit: images of each version that may be in flight.
        max_queue_delay: seconds that a batch waits for more rows.
        max_wait: seconds that the admitted images may take before the next request starts.
        max_pixels: the maximum number of pixels of an image, according to its header.
        max_response_bytes: the maximum memory of a response.
        max_model_bytes: the maximum size of a graph and the files from which it takes weights.
        load_timeout: seconds that the runs for warm-up and golden outputs of a version may take.
        max_decode_bytes: memory for decoding an image.
    """

    telemetry: ServerMetrics
    provider: Provider
    threads: int
    cores: int
    queue_limit: int
    max_queue_delay: float
    max_wait: float
    max_pixels: int
    max_response_bytes: int
    max_model_bytes: int
    load_timeout: float
    max_decode_bytes: int

    def __call__(
        self, folder: VersionFolder, begin: Callable[[Step], None] = lambda step: None
    ) -> LoadedModel:
        """Open, check and warm up one version.

        Args:
            begin: called at the beginning of each step.

        Raises:
            InvalidModel: the version must not be served; the message says why.
        """
        started = time.perf_counter()
        begin("checking")
        manifest = folder.manifest()
        digests: dict[str, str] = {}
        engine, executor, row = self._engine(folder, manifest, digests, begin)
        digest = content_digest(folder, self.max_model_bytes, digests)
        seconds = time.perf_counter() - started
        admission = Admission(self.queue_limit, max_wait=self.max_wait, seconds_per_image=engine.row_seconds)
        metrics, statistics = self._metrics(manifest)
        batcher = Batcher(
            engine.run,
            concat=engine.concat,
            max_batch_size=max_batch_rows(engine, manifest),
            max_batch_elements=MAX_BATCH_ELEMENTS if manifest.input.dynamic else None,
            max_queue_delay=self.max_queue_delay,
            wait_per_row=_wait_per_row(engine, executor),
            executor=executor,
            observe=BatchMetrics(manifest, admission, metrics, statistics),
            queue_changed=metrics.queue_depth.inc,
        )
        return LoadedModel(
            folder=folder,
            manifest=manifest,
            engine=engine,
            footprint=Footprint.of(manifest, self.max_response_bytes),
            decoder=Decoder(
                manifest.input,
                max_pixels=self._max_pixels(manifest),
                max_decode_bytes=self.max_decode_bytes,
            ),
            admission=admission,
            batcher=batcher,
            idle_arena=IdleArena(engine, batcher, executor, row),
            metrics=metrics,
            statistics=statistics,
            load_seconds=seconds,
            executor=executor,
            digest=digest,
        )

    def _metrics(self, manifest: Manifest) -> tuple[ModelMetrics, ModelStatistics]:
        name, version = manifest.name, manifest.version
        classes = manifest.labels if manifest.classifies else []
        metrics = self.telemetry.model(name, version, classes)
        statistics = ModelStatistics(f"{name}@{version}", manifest.max_batch_size, self.telemetry.statistics)
        return metrics, statistics

    def _engine(
        self,
        folder: VersionFolder,
        manifest: Manifest,
        digests: dict[str, str],
        begin: Callable[[Step], None],
    ) -> tuple[Engine, Executor | None, Rows]:
        """The engine, its thread if it has one, and a row of its input."""
        path = folder.graph(manifest, self.max_model_bytes, digests)
        inputs, expected = folder.golden(manifest)
        begin("loading")
        # CUDA reserves more memory than it uses.
        on_cpu = self.provider == "cpu"
        limit = limited_allocation(self._max_allocation(folder, manifest)) if on_cpu else nullcontext()
        with limit, ExitStack() as stack:
            engine = self._open(path, manifest, self.threads or 1)
            # CUDA graphs must be captured and replayed by the same thread.
            thread = _thread(manifest) if engine.provider == "cuda" else None
            if thread is not None:
                stack.callback(thread.shutdown)
            try:
                if not self.threads and self._is_heavy(engine, inputs[:1]):
                    engine = self._open(path, manifest, self.cores)
                begin("warming")
                prepare = partial(self._prepare, engine, manifest, inputs, expected)
                prepare() if thread is None else thread.submit(prepare).result()
            except InvalidModel:
                raise
            except Exception as error:  # ONNX Runtime's exceptions have no other common base class
                raise InvalidModel(f"{path.name} cannot be run: {error}") from error
            stack.pop_all()
        return engine, thread or _executor(engine, manifest), inputs[:1]

    def _open(self, path: Path, manifest: Manifest, threads: int) -> Engine:
        dynamic = manifest.input.dynamic
        engine = Engine(path, manifest.output.name, self.provider, threads, dynamic=dynamic)
        _check_tensors(engine, manifest)
        return engine

    @staticmethod
    def _max_allocation(folder: VersionFolder, manifest: Manifest) -> int:
        """Bytes for loading a version: its weights are held several times, and its layers have outputs."""
        names = [manifest.onnx.file, *(each.file for each in manifest.onnx.external)]
        return LOAD_BYTES + 4 * sum((folder.path / name).stat().st_size for name in names)

    def _is_heavy(self, engine: Engine, row: Rows) -> bool:
        if self.cores == 1 or engine.provider != "cpu":
            return False
        with engine.time_limit(self.load_timeout):
            engine.warm_up(row, 1)
        return engine.row_seconds > HEAVY_ROW_SECONDS

    def _prepare(self, engine: Engine, manifest: Manifest, inputs: Rows, expected: Scores) -> None:
        with engine.time_limit(self.load_timeout):
            engine.warm_up(inputs[:1], manifest.max_batch_size)
            _check_golden_outputs(engine, manifest, inputs, expected)
        engine.shrink_arena(inputs[:1])

    def _max_pixels(self, manifest: Manifest) -> int:
        return min(self.max_pixels, MAX_DYNAMIC_PIXELS) if manifest.input.dynamic else self.max_pixels


def _executor(engine: Engine, manifest: Manifest) -> Executor | None:
    # With a dynamic shape, the measured size predicts nothing about the others.
    inline = engine.row_seconds <= INLINE_ROW_SECONDS and not manifest.input.dynamic
    return None if inline else _thread(manifest)


def max_batch_rows(engine: Engine, manifest: Manifest) -> int:
    """The rows of the largest batch; on the CPU, a batch of a heavy network takes a limited time."""
    if engine.provider != "cpu" or manifest.input.dynamic:
        return manifest.max_batch_size
    rows = max(MIN_BATCH_ROWS, int(MAX_BATCH_SECONDS / engine.row_seconds))
    return min(rows, manifest.max_batch_size)


def _thread(manifest: Manifest) -> Executor:
    return ThreadPoolExecutor(1, thread_name_prefix=f"engine {manifest.name} {manifest.version}")


def _wait_per_row(engine: Engine, executor: Executor | None) -> float:
    # On the CPU, engine and decoders share the cores: an early start while images are being decoded gains
    # nothing. A CUDA device would be idle.
    return engine.row_seconds if executor is not None and engine.provider == "cpu" else 0.0


def _check_tensors(engine: Engine, manifest: Manifest) -> None:
    batch = 1 if manifest.max_batch_size == 1 else None
    expected = (
        TensorSpec(manifest.input.name, manifest.input.dtype, (batch, *manifest.input.axes)),
        TensorSpec(manifest.output.name, "float32", (batch, *manifest.output_axes)),
    )
    for actual, wanted in zip((engine.input, engine.output), expected, strict=True):
        if (actual.name, actual.dtype) != (wanted.name, wanted.dtype) or not _shapes_agree(actual, wanted):
            raise InvalidModel(f"the graph has {actual}; the manifest describes {wanted}")


def _shapes_agree(actual: TensorSpec, wanted: TensorSpec) -> bool:
    # A dynamic axis of the graph accepts any size. `wanted` has a dynamic batch axis if batches exceed one.
    return len(actual.shape) == len(wanted.shape) and all(
        axis is None or axis == size for axis, size in zip(actual.shape, wanted.shape, strict=True)
    )


def _check_golden_outputs(engine: Engine, manifest: Manifest, inputs: Rows, expected: Scores) -> None:
    """Compare the engine's outputs for `inputs`, `(n, …)`, with `expected`, `(n, classes)`."""
    step = manifest.max_batch_size
    outputs = [engine.run(inputs[start : start + step]) for start in range(0, len(inputs), step)]
    difference = float(np.max(np.abs(np.concatenate(outputs) - expected)))
    if not difference <= manifest.golden.tolerance:  # NaN is a mismatch too
        raise InvalidModel(
            f"the golden outputs differ by {difference:.2g}; "
            f"the manifest allows {manifest.golden.tolerance:g}"
        )
