"""Runs batches on a CUDA device as captured CUDA graphs, in preallocated memory.

For a small network, a third of a run's time goes to launching kernels one by one and to allocating results.
Each batch size is therefore captured once as a CUDA graph (CUDA C++ Programming Guide, "CUDA Graphs") with
fixed input and output buffers, and is replayed afterwards. A batch of another size runs as the next larger
size; its last rows are padding.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

PROVIDER = "CUDAExecutionProvider"

# ONNX Runtime has captured the graph of a size after this many runs; the first run allocates its memory.
RUNS_TO_CAPTURE = 3

# The value of the run option `gpu_graph_id` that disables capture.
_NO_GRAPH = "-1"

_LIBRARY = "onnxruntime_providers_cuda.dll" if sys.platform == "win32" else "libonnxruntime_providers_cuda.so"


def cuda_unavailable_reason() -> str | None:
    """The reason in one sentence; None if ONNX Runtime can use a CUDA device."""
    if PROVIDER not in onnxruntime.get_available_providers():
        return (
            "the installed onnxruntime has no CUDA provider; uninstall onnxruntime, then install "
            "onnxruntime-gpu (the extra convserve[gpu]): the two packages overwrite each other's files"
        )
    if onnxruntime.get_device() != "GPU" or not any(Path("/dev").glob("nvidia[0-9]*")):
        return "this machine has no CUDA device"
    return None


def register_cuda_provider() -> str | None:
    """Register the CUDA provider in this process, once; returns the reason if that fails."""
    # CUDA's libraries are installed as wheels, outside the dynamic linker's search path.
    onnxruntime.preload_dlls()
    if not _devices():
        library = Path(onnxruntime.__file__).parent / "capi" / _LIBRARY
        try:
            onnxruntime.register_execution_provider_library(PROVIDER, str(library))
        except Exception as error:  # ONNX Runtime's exceptions have no other common base class
            return f"ONNX Runtime cannot load {_LIBRARY}: {str(error).strip().splitlines()[0][:200]}"
    return None if _devices() else "ONNX Runtime's CUDA library finds no device"


def no_graph() -> Any:
    """Options of a run that is neither captured nor replayed, in a session that captures graphs."""
    return _run_options(_NO_GRAPH)


@dataclass(frozen=True, slots=True)
class _Buffers:
    """The input and output of one batch size, both on the device."""

    rows: Any
    scores: Any
    binding: Any
    options: Any


class CudaGraphs:
    """The captured runs of one session; all calls must come from the same thread.

    Args:
        session: opened with `enable_cuda_graph`.
        input_name, output_name: of the session's graph.
        row: a sample of shape `(1, …)`.
        output_axes: the shape of one row's output.
        sizes: batch sizes to capture; the largest of them is the largest batch.
        device: the session's device, as ONNX Runtime names it.
    """

    def __init__(
        self,
        session: Any,
        input_name: str,
        output_name: str,
        row: NDArray[Any],
        output_axes: Sequence[int],
        sizes: Collection[int],
        device: str = "cuda",
    ) -> None:
        self._session = session
        self._sizes = sorted(sizes)
        self._device = device
        # Page-locked, so that the device copies from it without the CPU.
        self._host_value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
            (self._sizes[-1], *row.shape[1:]),
            row.dtype.type,
            memory_info=_page_locked_memory() if device == "cuda" else None,
        )
        self._host: NDArray[Any] = self._host_value.numpy()
        self._host[:] = row
        self._buffers = {
            size: self._allocate(size, input_name, output_name, output_axes) for size in self._sizes
        }

    def concat(self, parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Concatenate the parts of one batch in page-locked memory; valid until the next call."""
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts, out=self._host[: sum(map(len, parts))])

    def run(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """The scores `(n, …)` of rows `(n, …)`, n at most the largest size."""
        count = len(rows)
        size = self._sizes[bisect_left(self._sizes, count)]
        if count < size:
            if not np.may_share_memory(rows, self._host):
                self._host[:count] = rows
            rows = self._host[:size]
        buffers = self._buffers[size]
        buffers.rows.update_inplace(np.ascontiguousarray(rows))
        self._session.run_with_iobinding(buffers.binding, buffers.options)
        scores: NDArray[np.float32] = buffers.scores.numpy()[:count]
        return scores

    def _allocate(self, size: int, input_name: str, output_name: str, output_axes: Sequence[int]) -> _Buffers:
        allocate = onnxruntime.OrtValue.ortvalue_from_shape_and_type
        rows = allocate((size, *self._host.shape[1:]), self._host.dtype.type, self._device, 0)
        scores = allocate((size, *output_axes), np.float32, self._device, 0)
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(input_name, rows)
        binding.bind_ortvalue_output(output_name, scores)
        return _Buffers(rows, scores, binding, _run_options(str(size)))


def _devices() -> list[Any]:
    return [device for device in onnxruntime.get_ep_devices() if device.ep_name == PROVIDER]


def _run_options(graph_id: str) -> Any:
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("gpu_graph_id", graph_id)
    return options


def _page_locked_memory() -> Any:
    return _devices()[0].memory_info(onnxruntime.OrtDeviceMemoryType.HOST_ACCESSIBLE)
