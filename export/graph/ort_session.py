"""An ONNX graph opened for a trial: its ports, and its answers. One input, one output, on the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ..errors import ConversionError

TYPES: Final = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}


@dataclass(frozen=True)
class Port:
    """A named input or output; `axes` holds None where one is free. `dtype` is as ONNX Runtime names it if it
    is neither uint8 nor float32.
    """

    name: str
    dtype: str
    axes: tuple[int | None, ...]


class Session:
    """The graph in `model`, with so many threads; 0 are as many as there are cores.

    Raises:
        ConversionError: ONNX Runtime cannot open it, or it has more inputs or outputs than one.
    """

    def __init__(self, model: bytes, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        self._session = opened(model, options)
        self.input = _only(self._session.get_inputs(), "input")
        self.output = _only(self._session.get_outputs(), "output")

    def run(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """
        Raises:
            ConversionError: ONNX Runtime cannot run the graph on this.
        """
        try:
            answers: NDArray[np.float32] = self._session.run([self.output.name], {self.input.name: inputs})[0]
        except Exception as error:
            raise ConversionError(f"ONNX Runtime cannot run the graph: {first_line(error)}") from error
        return answers


def opened(model: bytes, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    """
    Raises:
        ConversionError: ONNX Runtime cannot open the graph.
    """
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base but Exception
        raise ConversionError(f"ONNX Runtime cannot open the graph: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:300]


def _only(nodes: list[Any], what: str) -> Port:
    if len(nodes) != 1:
        names = ", ".join(node.name for node in nodes)
        raise ConversionError(f"the graph has {len(nodes)} {what}s ({names}), and a model here has one")
    (node,) = nodes
    axes = tuple(axis if isinstance(axis, int) else None for axis in node.shape)
    return Port(node.name, TYPES.get(node.type, node.type), axes)
