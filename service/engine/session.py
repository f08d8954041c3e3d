"""One ONNX graph, opened on one execution provider."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigurationError, InvalidModel
from .cuda_graphs import PROVIDER, RECORDED_AFTER, CudaGraphs, no_graph, start_cuda, why_no_cuda
from .runtime import onnxruntime

Rows = NDArray[np.uint8 | np.float32]
Scores = NDArray[np.float32]
Provider = Literal["cpu", "cuda"]

logger = logging.getLogger(__name__)

# Of which each heavy network that is served delays the start.
WARM_UP_SECONDS = 0.2

_PROVIDER_NAMES = {"cpu": "CPUExecutionProvider", "cuda": PROVIDER}
_TYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}


@dataclass(frozen=True, slots=True)
class Port:
    """A named input or output of the graph; a free axis of `shape` is None."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


def choose_provider(wanted: Literal["auto", "cpu", "cuda"]) -> Provider:
    """The provider to use on this machine; a warning where CUDA was installed and cannot be had.

    Raises:
        ConfigurationError: CUDA was asked for and cannot be had.
    """
    missing = why_no_cuda() or (start_cuda() if wanted != "cpu" else None)
    if wanted == "cuda" and missing:
        raise ConfigurationError(f"CONVSERVE_PROVIDER=cuda cannot be honoured: {missing}")
    if wanted == "cpu" or missing:
        if wanted == "auto" and PROVIDER in onnxruntime.get_available_providers():
            logger.warning("CPU is used, though ONNX Runtime was installed with CUDA: %s", missing)
        return "cpu"
    return "cuda"


class Engine:
    """An open session that maps one input to one output; on a device, all its runs are to be in one thread.

    Raises:
        InvalidModel: ONNX Runtime cannot open the file, or it has no such output, or several inputs.

    Attributes:
        input, output: the two ports.
        threads: intra-op threads of the session.
        row_seconds: the measured time of one row; infinite before `warm_up`.
    """

    def __init__(self, path: Path, output: str, provider: Provider, threads: int) -> None:
        self.provider: Provider = provider
        self.threads = threads
        self.row_seconds = float("inf")
        self._session, self._records = _opened(path, provider, threads)
        self._replays: CudaGraphs | None = None
        self.input = _only_input(path, self._session)
        self.output = _named_output(path, self._session, output)

    @property
    def device(self) -> str:
        """Where rows are computed, in words."""
        return "CUDA device 0" if self.provider == "cuda" else "CPU"

    def gather(self, parts: Sequence[Rows]) -> Rows:
        """The parts of one batch, one after the other; what it returns is good until the next call."""
        if self._replays is not None:
            return self._replays.gather(parts)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def run(self, rows: Rows) -> Scores:
        """`(n, …)` rows in, `(n, classes)` scores out; raises whatever ONNX Runtime raises."""
        if self._replays is not None:
            return self._replays.run(rows)
        if self.provider == "cuda":
            return self._run_bound(rows)
        scores: Scores = self._session.run([self.output.name], {self.input.name: rows})[0]
        return scores

    def _run_bound(self, rows: Rows) -> Scores:
        """One copy to the device and one back, both issued by the session on its own stream."""
        binding = self._session.io_binding()
        binding.bind_cpu_input(self.input.name, np.ascontiguousarray(rows))
        binding.bind_output(self.output.name)
        self._session.run_with_iobinding(binding, no_graph())
        scores: Scores = binding.copy_outputs_to_cpu()[0]
        return scores

    def warm_up(self, row: Rows, max_batch_size: int) -> None:
        """Run every power of two up to `max_batch_size`, then measure one row; `row` has shape `(1, …)`.

        A CPU ends with the size at which its time is up: what the first larger batch then costs more is
        little beside its run.
        """
        until = time.perf_counter() + (WARM_UP_SECONDS if self.provider == "cpu" else float("inf"))
        powers = (2**power for power in range(max_batch_size.bit_length()))
        sizes = sorted({*powers, max_batch_size})
        axes = self.output.shape[1:]
        if self._records and None not in (*self.input.shape[1:], *axes):
            classes = [axis for axis in axes if axis is not None]
            self._replays = CudaGraphs(self._session, self.input.name, self.output.name, row, classes, sizes)
        for size in sizes:
            for _ in range(RECORDED_AFTER if self._replays else 1):
                self.run(np.repeat(row, size, axis=0))
            if time.perf_counter() > until:
                break
        self.row_seconds = min(self._seconds(row) for _ in range(5))

    def shrink_arena(self, row: Rows) -> None:
        """Let go of the memory that only larger batches than `row`, `(1, …)`, need, and have needed so far.

        A model that waits for requests, of which there may be dozens, shall not keep it. The first batches of
        each size that come take it again, once; it is a CPU's alone, for a device has no other use for it.
        """
        if self.provider == "cpu":
            options = onnxruntime.RunOptions()
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
            self._session.run([self.output.name], {self.input.name: row}, options)

    def _seconds(self, rows: Rows) -> float:
        started = time.perf_counter()
        self.run(rows)
        return time.perf_counter() - started


def _opened(path: Path, provider: Provider, threads: int) -> tuple[onnxruntime.InferenceSession, bool]:
    """The session, and whether it can record runs: for that a graph has to lie on the device as a whole."""
    if provider == "cuda":
        with suppress(InvalidModel):
            return _open_session(path, provider, threads, records=True), True
    return _open_session(path, provider, threads, records=False), False


def _open_session(
    path: Path, provider: Provider, threads: int, *, records: bool
) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # A spinning pool takes the core that decodes the next pictures, and a whole CPU quota in a container.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = _providers(provider, records=records)
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # its exceptions share no base but Exception
        raise InvalidModel(f"{path.name} cannot be opened by ONNX Runtime: {_first_line(error)}") from error
    if _PROVIDER_NAMES[provider] not in session.get_providers():
        raise ConfigurationError(f"ONNX Runtime fell back from {provider}; see its messages above")
    return session


def _providers(provider: Provider, *, records: bool) -> list[Any]:
    providers: list[Any] = [_PROVIDER_NAMES["cpu"]]
    if provider == "cuda":
        options = {
            "arena_extend_strategy": "kSameAsRequested",
            # TF32 would be faster and would miss the golden answers in the third digit.
            "use_tf32": "0",
            "enable_cuda_graph": str(int(records)),
        }
        providers.insert(0, (PROVIDER, options))
    return providers


def _only_input(path: Path, session: onnxruntime.InferenceSession) -> Port:
    ports = [_port(node) for node in session.get_inputs()]
    if len(ports) != 1:
        raise InvalidModel(f"{path.name} has {len(ports)} inputs; an image classifier has one")
    return ports[0]


def _named_output(path: Path, session: onnxruntime.InferenceSession, name: str) -> Port:
    ports = {node.name: _port(node) for node in session.get_outputs()}
    if name not in ports:
        raise InvalidModel(f"{path.name} has no output {name!r}; it has {', '.join(ports)}")
    return ports[name]


def _port(node: Any) -> Port:
    shape = tuple(axis if isinstance(axis, int) else None for axis in node.shape)
    return Port(node.name, _TYPES.get(node.type, node.type), shape)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:300]
