"""Batches on a CUDA device: their memory is set aside once, and their kernels are launched together.

A third of a small network's run on a device is spent on the way there: each kernel is launched by itself,
each result is allocated. So every size of batch is recorded once as a CUDA graph (CUDA C++ Programming Guide,
"CUDA Graphs"), between an input and an output that keep their places, and replayed after. A batch of another
size is run as one of the next larger size, whose last rows mean nothing.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .runtime import onnxruntime

PROVIDER = "CUDAExecutionProvider"

# By so many runs of a size it has been recorded: the first takes the memory it needs.
RECORDED_AFTER = 3

# Of the run option that names a graph: nothing is to be recorded.
_NO_GRAPH = "-1"

_LIBRARY = "onnxruntime_providers_cuda.dll" if sys.platform == "win32" else "libonnxruntime_providers_cuda.so"


def why_no_cuda() -> str | None:
    """In one sentence; None where there is a device that ONNX Runtime can use."""
    if PROVIDER not in onnxruntime.get_available_providers():
        return (
            "the installed onnxruntime has no CUDA provider; uninstall onnxruntime, then install "
            "onnxruntime-gpu (the extra convserve[gpu]): the two packages overwrite each other's files"
        )
    if onnxruntime.get_device() != "GPU" or not any(Path("/dev").glob("nvidia[0-9]*")):
        return "this machine has no CUDA device"
    return None


def start_cuda() -> str | None:
    """Make the device known to this process, once; why it cannot be, in one sentence."""
    # CUDA's libraries come as wheels, where the dynamic linker does not look by itself.
    onnxruntime.preload_dlls()
    if not _devices():
        library = Path(onnxruntime.__file__).parent / "capi" / _LIBRARY
        try:
            onnxruntime.register_execution_provider_library(PROVIDER, str(library))
        except Exception as error:  # ONNX Runtime's exceptions share no base but Exception
            return f"ONNX Runtime cannot load {_LIBRARY}: {str(error).strip().splitlines()[0][:200]}"
    return None if _devices() else "ONNX Runtime's CUDA library finds no device"


def no_graph() -> Any:
    """Options of a run that takes part in no graph, in a session that may record some."""
    return _options(_NO_GRAPH)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where batches of one size go in and their answers come out, both on the device."""

    rows: Any
    scores: Any
    binding: Any
    options: Any


class CudaGraphs:
    """The runs of one session that records, all in one thread.

    Args:
        session: opened with `enable_cuda_graph`.
        source, answer: the names of its input and output.
        row: any, of shape `(1, …)`.
        classes: the axes of its answer.
        sizes: of the batches that get a graph; none may be larger than the largest of them.
        device: of the session, as ONNX Runtime calls it.
    """

    def __init__(
        self,
        session: Any,
        source: str,
        answer: str,
        row: NDArray[Any],
        classes: Sequence[int],
        sizes: Collection[int],
        device: str = "cuda",
    ) -> None:
        self._session = session
        self._sizes = sorted(sizes)
        self._device = device
        # The host's end of the way, in memory that stays where it is: the device fetches from it by itself.
        self._kept = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
            (self._sizes[-1], *row.shape[1:]),
            row.dtype.type,
            memory_info=_locked() if device == "cuda" else None,
        )
        self._host: NDArray[Any] = self._kept.numpy()
        self._host[:] = row
        self._places = {size: self._place(size, source, answer, classes) for size in self._sizes}

    def gather(self, parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """The parts of one batch, one after the other, where the device fetches them."""
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts, out=self._host[: sum(map(len, parts))])

    def run(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """`(n, …)` rows in, `(n, …)` scores out, n at most the largest of the sizes."""
        count = len(rows)
        size = self._sizes[bisect_left(self._sizes, count)]
        if count < size:
            if not np.may_share_memory(rows, self._host):
                self._host[:count] = rows
            rows = self._host[:size]
        place = self._places[size]
        place.rows.update_inplace(np.ascontiguousarray(rows))
        self._session.run_with_iobinding(place.binding, place.options)
        scores: NDArray[np.float32] = place.scores.numpy()[:count]
        return scores

    def _place(self, size: int, source: str, answer: str, classes: Sequence[int]) -> _Place:
        make = onnxruntime.OrtValue.ortvalue_from_shape_and_type
        rows = make((size, *self._host.shape[1:]), self._host.dtype.type, self._device, 0)
        scores = make((size, *classes), np.float32, self._device, 0)
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(source, rows)
        binding.bind_ortvalue_output(answer, scores)
        return _Place(rows, scores, binding, _options(str(size)))


def _devices() -> list[Any]:
    return [device for device in onnxruntime.get_ep_devices() if device.ep_name == PROVIDER]


def _options(graph: str) -> Any:
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("gpu_graph_id", graph)
    return options


def _locked() -> Any:
    """Of pages that the operating system does not move (CUDA's "page-locked host memory")."""
    return _devices()[0].memory_info(onnxruntime.OrtDeviceMemoryType.HOST_ACCESSIBLE)
