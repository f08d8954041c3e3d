"""An ONNX graph opened on an execution provider."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ..errors import ConfigurationError, InvalidModel
from .cuda_graphs import (
    PROVIDER,
    RUNS_TO_CAPTURE,
    CudaGraphs,
    cuda_unavailable_reason,
    no_graph,
    register_cuda_provider,
)

Rows = NDArray[np.uint8 | np.float32]
Scores = NDArray[np.float32]
Provider = Literal["cpu", "cuda"]

logger = logging.getLogger(__name__)

# Each slow model delays the start of the server by about this much.
WARM_UP_SECONDS = 0.2

_PROVIDER_NAMES = {"cpu": "CPUExecutionProvider", "cuda": PROVIDER}
_TYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A named input or output of a graph; an axis of any size is None in `shape`."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"the {self.dtype} tensor {self.name!r} of shape {self.shape}"


def choose_provider(wanted: Literal["auto", "cpu", "cuda"]) -> Provider:
    """The provider to use on this machine; logs a warning if CUDA is installed but unavailable.

    Raises:
        ConfigurationError: CUDA is requested and unavailable.
    """
    reason = cuda_unavailable_reason() or (register_cuda_provider() if wanted != "cpu" else None)
    if wanted == "cuda" and reason:
        raise ConfigurationError(f"CONVSERVE_PROVIDER=cuda cannot be used: {reason}")
    if wanted == "cpu" or reason:
        if wanted == "auto" and PROVIDER in onnxruntime.get_available_providers():
            logger.warning("using the CPU, although ONNX Runtime is installed with CUDA: %s", reason)
        return "cpu"
    return "cuda"


class Engine:
    """An open session that maps one input to one output; with CUDA, all runs must use the same thread.

    Args:
        dynamic: whether the input has any height and width. On the CPU such a graph then runs without a
            memory arena, which would keep the memory of the largest image, and without the blocked layout of
            channels, which takes several times the memory of a few feature maps.

    Raises:
        InvalidModel: ONNX Runtime cannot open the file, or the graph has several inputs or lacks the output.

    Attributes:
        input, output: the tensors that `run` takes and returns.
        threads: intra-op threads of the session.
        row_seconds: the measured run time of one row; infinite before `warm_up`.
    """

    def __init__(
        self, path: Path, output: str, provider: Provider, threads: int, *, dynamic: bool = False
    ) -> None:
        self.provider: Provider = provider
        self.threads = threads
        self.row_seconds = float("inf")
        self._has_arena = not (dynamic and provider == "cpu")
        # Untyped, because it is None once the engine is closed.
        self._session: Any
        self._session, self._can_capture = _open_session(path, provider, threads, dynamic=dynamic)
        self._cuda_graphs: CudaGraphs | None = None
        self._run_options: Any = None
        self._file_name = path.name
        self.input = _single_input(path, self._session)
        self.output = _named_output(path, self._session, output)

    def close(self) -> None:
        """Free the memory of the session; nothing may use the engine afterwards."""
        self._cuda_graphs = self._session = None

    @property
    def device(self) -> str:
        """The device's name in the log and the startup banner."""
        return "CUDA device 0" if self.provider == "cuda" else "CPU"

    def concat(self, parts: Sequence[Rows]) -> Rows:
        """Concatenate the parts of one batch; the array is valid until the next call."""
        if self._cuda_graphs is not None:
            return self._cuda_graphs.concat(parts)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def run(self, rows: Rows) -> Scores:
        """The scores `(n, classes)` of rows `(n, …)`; raises any exception of ONNX Runtime."""
        if self._cuda_graphs is not None:
            return self._cuda_graphs.run(rows)
        if self.provider == "cuda":
            return self._run_bound(rows)
        scores: Scores = self._session.run([self.output.name], {self.input.name: rows}, self._run_options)[0]
        return scores

    @contextmanager
    def time_limit(self, seconds: float) -> Iterator[None]:
        """End the runs of the block after `seconds`, on the CPU at the end of the current operator.

        Raises:
            InvalidModel: a run was ended.
        """
        options = self._run_options = onnxruntime.RunOptions()

        def end() -> None:
            options.terminate = True

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        except Exception as error:  # ONNX Runtime's exceptions have no other common base class
            if not options.terminate:
                raise
            raise InvalidModel(f"{self._file_name} did not finish its runs within {seconds:g} s") from error
        finally:
            timer.cancel()
            self._run_options = None

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

        On the CPU the warm-up stops after `WARM_UP_SECONDS`: the extra cost of the first larger batch is
        then small beside its run time.
        """
        until = time.perf_counter() + (WARM_UP_SECONDS if self.provider == "cpu" else float("inf"))
        powers = (2**power for power in range(max_batch_size.bit_length()))
        sizes = sorted({*powers, max_batch_size})
        if self._can_capture and None not in (*self.input.shape[1:], *self.output.shape[1:]):
            axes = [axis for axis in self.output.shape[1:] if axis is not None]
            self._cuda_graphs = CudaGraphs(self._session, self.input.name, self.output.name, row, axes, sizes)
        for size in sizes:
            for _ in range(RUNS_TO_CAPTURE if self._cuda_graphs else 1):
                self.run(np.repeat(row, size, axis=0))
            if time.perf_counter() > until:
                break
        self.row_seconds = min(self._seconds(row) for _ in range(5))

    def shrink_arena(self, row: Rows) -> None:
        """Free the arena memory that only batches larger than `row`, `(1, …)`, need.

        Dozens of models may be idle, and their memory adds up. The first batches of each size allocate it
        again, once. Only the CPU's arena shrinks: nothing else needs the device's memory.
        """
        if self.provider == "cpu" and self._has_arena:
            options = onnxruntime.RunOptions()
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
            self._session.run([self.output.name], {self.input.name: row}, options)

    def _seconds(self, rows: Rows) -> float:
        started = time.perf_counter()
        self.run(rows)
        return time.perf_counter() - started


def _open_session(
    path: Path, provider: Provider, threads: int, *, dynamic: bool
) -> tuple[onnxruntime.InferenceSession, bool]:
    """The session, and True if it captures CUDA graphs: all operators of the graph must run on the device."""
    if provider == "cuda":
        with suppress(InvalidModel):
            return _create_session(path, provider, threads, capture=True, dynamic=dynamic), True
    return _create_session(path, provider, threads, capture=False, dynamic=dynamic), False


def _create_session(
    path: Path, provider: Provider, threads: int, *, capture: bool, dynamic: bool
) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Otherwise a file whose name ends with .ort is read in another format, which nothing has checked.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # A spinning pool occupies the core that decodes the next images, and the CPU quota of a container.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if dynamic and provider == "cpu":
        options.enable_cpu_mem_arena = False
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    providers = _providers(provider, capture=capture)
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime's exceptions have no other common base class
        raise InvalidModel(f"{path.name} cannot be opened by ONNX Runtime: {_first_line(error)}") from error
    if _PROVIDER_NAMES[provider] not in session.get_providers():
        raise ConfigurationError(
            f"ONNX Runtime cannot use the provider {provider}; its own messages above say why"
        )
    return session


def _providers(provider: Provider, *, capture: bool) -> list[Any]:
    providers: list[Any] = [_PROVIDER_NAMES["cpu"]]
    if provider == "cuda":
        options = {
            "arena_extend_strategy": "kSameAsRequested",
            # TF32 is faster, but its results differ from the golden outputs in the third digit.
            "use_tf32": "0",
            "enable_cuda_graph": str(int(capture)),
        }
        providers.insert(0, (PROVIDER, options))
    return providers


def _single_input(path: Path, session: onnxruntime.InferenceSession) -> TensorSpec:
    inputs = [_tensor_spec(node) for node in session.get_inputs()]
    if len(inputs) != 1:
        raise InvalidModel(f"{path.name} has {len(inputs)} inputs; an image classifier has one")
    return inputs[0]


def _named_output(path: Path, session: onnxruntime.InferenceSession, name: str) -> TensorSpec:
    outputs = {node.name: _tensor_spec(node) for node in session.get_outputs()}
    if name not in outputs:
        raise InvalidModel(f"{path.name} has no output {name!r}; it has {', '.join(outputs)}")
    return outputs[name]


def _tensor_spec(node: Any) -> TensorSpec:
    shape = tuple(axis if isinstance(axis, int) else None for axis in node.shape)
    return TensorSpec(node.name, _TYPES.get(node.type, node.type), shape)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:300]
