"""A network of Keras or TensorFlow in memory, and its conversion to ONNX."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from ...errors import ConversionError, UsageError
from ...graph.convert import convert_function
from ...graph.ort_session import TensorSpec
from ...graph.rewrites import SPEEDUPS, rewrite

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

INPUT: Final = "pixels"
OUTPUT: Final = "scores"

_BATCH_SIZE: Final = 16

# The names of the types that ONNX Runtime names otherwise.
_ORT_TYPES: Final = {
    "float16": "tensor(float16)",
    "float64": "tensor(double)",
    "int32": "tensor(int32)",
    "int64": "tensor(int64)",
}


@dataclass(frozen=True, eq=False)
class KerasNetwork:
    """A network that maps a batch of images to a batch of scores.

    Attributes:
        name: its name, in messages and in the graph.
        call: computes the scores of a batch, in inference mode.
        shape: the axes of the input, batch first; None for a dynamic axis.
        dtype: the type of the input.
        classes: the number of scores; None if it is unknown before the network is run.
        weights: its Keras variables; empty if they are not Keras's.
        normalises: True if it begins with layers that scale pixels from 0 to 255; None if that is unknown.
        model: the Keras model; None for a SavedModel.
    """

    name: str
    call: Callable[[tf.Tensor], tf.Tensor]
    shape: tuple[int | None, ...]
    dtype: str
    classes: int | None
    weights: Sequence[keras.Variable]
    normalises: bool | None
    model: keras.Model | None

    @property
    def input(self) -> TensorSpec:
        """The input as ONNX Runtime would describe it."""
        return TensorSpec(INPUT, _ORT_TYPES.get(self.dtype, self.dtype), self.shape)

    def predict(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Return the scores of inputs in the network's own form.

        Raises:
            ConversionError: TensorFlow cannot run the network.
        """
        import tensorflow as tf

        rows = []
        for start in range(0, len(inputs), _BATCH_SIZE):
            batch = tf.constant(inputs[start : start + _BATCH_SIZE])
            try:
                rows.append(np.asarray(self.call(batch), np.float32))
            except (tf.errors.OpError, ValueError, TypeError) as error:
                raise ConversionError(f"{self.name} cannot be run: {first_line(error)}") from error
        return np.concatenate(rows)

    def to_onnx(self, size: tuple[int, int] | None) -> onnx.ModelProto:
        """Convert the network.

        Args:
            size: the height and width, if they are dynamic.

        Raises:
            ConversionError: a layer has no equivalent in ONNX.
        """
        import tensorflow as tf

        signature = tf.TensorSpec([None, *_fixed(self.shape[1:], size)], self.dtype, name=INPUT)
        try:
            graph = convert_function(self.call, signature, self.weights, name=self.name, output=OUTPUT)
        except (tf.errors.OpError, TypeError, NotImplementedError) as error:
            raise ConversionError(f"{self.name} cannot be converted to ONNX: {first_line(error)}") from error
        return onnx.load_from_string(graph)


def choose_output(path: Path, outputs: Collection[str], wanted: str | None) -> str:
    """Return the name of the output with the scores.

    Args:
        path: the file of the network.
        outputs: the names of all outputs, of which there is at least one.
        wanted: the name that the options give; None for the only output.

    Raises:
        UsageError: there is no such output, or there are several and none is wanted.
    """
    if wanted is not None and wanted not in outputs:
        raise UsageError(f"{path} has no output {wanted!r}; it has {', '.join(outputs)}")
    if wanted is None and len(outputs) > 1:
        raise UsageError(
            f"{path} has {len(outputs)} outputs; choose the scores with --output {' or '.join(outputs)}"
        )
    return wanted or next(iter(outputs))


def simplify(model: onnx.ModelProto) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Remove the layout changes of TensorFlow and fold the scaling of pixels, as for the own networks.

    Returns:
        The new graph and the names of the rewrites that changed it.
    """
    graph, rewrites = rewrite(model.SerializeToString(), SPEEDUPS)
    return onnx.load_from_string(graph), rewrites


def _fixed(axes: Sequence[int | None], size: tuple[int, int] | None) -> list[int | None]:
    """Replace the dynamic axes of an image by the height and width, in order."""
    sides = iter(size or ())
    return [next(sides, None) if axis is None else axis for axis in axes]


def first_line(error: BaseException, max_length: int = 300) -> str:
    """Return the beginning of the first line of a message that is not empty."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:max_length] if lines else type(error).__name__
