"""ONNX Runtime sessions on the CPU, for graphs with one input and one output."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from ..errors import ConversionError
from .external_data import check_self_contained

DTYPES: Final = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}
BATCH_SIZE: Final = 100

_LOG_FATAL_ONLY: Final = 4
_MAX_MESSAGE: Final = 300
_NEWLINE: Final = "\n"

# How ONNX Runtime begins its messages: a code, then perhaps a file, a line and the signature of a function.
_CODE: Final = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
_SOURCE: Final = re.compile(r"^\S+:\d+ [^\n]*?\)(?: const)? (?=\S)")
_IR_VERSION: Final = re.compile(r"model IR version: (\d+), max supported IR version: (\d+)")
_OPSET: Final = re.compile(
    r"Opset (\d+) is under development .*support for domain (\S+) is till opset (\d+)", re.DOTALL
)


@dataclass(frozen=True)
class TensorSpec:
    """Describes the input or the output of a graph.

    Attributes:
        name: the name in the graph.
        dtype: "uint8", "float32", or the name that ONNX Runtime gives to any other type.
        shape: the size of each axis, batch first; None for a dynamic axis.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]


class OrtSession:
    """Runs an ONNX graph on the CPU.

    Args:
        graph: the ONNX file.
        threads: threads of one operator; 0 for one per core.
        profile_prefix: the path prefix of a profile file; None disables profiling.

    Raises:
        ConversionError: ONNX Runtime cannot load the graph, the graph stores values in other files, or it
            does not have exactly one input and output.
    """

    def __init__(self, graph: bytes, *, threads: int = 0, profile_prefix: Path | None = None) -> None:
        try:
            check_self_contained(onnx.load_from_string(graph))
        except DecodeError as error:
            raise ConversionError("the graph is not an ONNX file") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = _LOG_FATAL_ONLY
        if profile_prefix is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(profile_prefix)
        # Otherwise bytes that begin in a certain way are read in another format, whose files are not checked.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions share no other base class
            raise ConversionError(_too_new(str(error)) or _sentence("load", error)) from error
        self.input = _single(self._session.get_inputs(), "input")
        self.output = _single(self._session.get_outputs(), "output")

    def run(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Run the graph once.

        Args:
            inputs: one batch, in the dtype and shape of `input`.

        Returns:
            The output, batch first.

        Raises:
            ConversionError: ONNX Runtime cannot run the graph on this batch.
        """
        try:
            outputs: NDArray[np.float32] = self._session.run([self.output.name], {self.input.name: inputs})[0]
        except Exception as error:
            raise ConversionError(_sentence("run", error)) from error
        return outputs

    def run_batches(self, inputs: NDArray[Any], batch_size: int = BATCH_SIZE) -> NDArray[np.float32]:
        """Run the graph on any number of inputs, at most `batch_size` at a time.

        Raises:
            ConversionError: ONNX Runtime cannot run the graph on one of the batches.
        """
        starts = range(0, len(inputs), batch_size)
        return np.concatenate([self.run(inputs[start : start + batch_size]) for start in starts])

    def end_profiling(self) -> Path:
        """Stop profiling and return the path of the profile, a JSON file of ONNX Runtime."""
        return Path(self._session.end_profiling())


def _sentence(verb: str, error: Exception) -> str:
    """Return the first line of an error of ONNX Runtime, without its code and its place in the source."""
    text = _SOURCE.sub("", _CODE.sub("", str(error).strip()))
    return f"ONNX Runtime cannot {verb} the graph: {text.partition(_NEWLINE)[0][:_MAX_MESSAGE]}"


def _too_new(text: str) -> str | None:
    """Return one sentence if ONNX Runtime refuses the version of a graph."""
    runtime = f"ONNX Runtime {onnxruntime.__version__}"
    if match := _IR_VERSION.search(text):
        found, supported = match.groups()
        return (
            f"the graph has IR version {found}, but {runtime} supports at most {supported}; "
            "save it with an older version of the onnx package"
        )
    if match := _OPSET.search(text):
        found, domain, supported = match.groups()
        return (
            f"the graph has opset {found} of the domain {domain}, but {runtime} supports at most "
            f"{supported}; export it with opset {supported}"
        )
    return None


def _single(nodes: list[Any], kind: str) -> TensorSpec:
    if len(nodes) != 1:
        names = ", ".join(node.name for node in nodes)
        raise ConversionError(f"the graph has {len(nodes)} {kind}s ({names}); a model must have exactly one")
    (node,) = nodes
    shape = tuple(axis if isinstance(axis, int) else None for axis in node.shape)
    return TensorSpec(node.name, DTYPES.get(node.type, node.type), shape)
