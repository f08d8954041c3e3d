"""Writes a Keras network as an ONNX graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from onnx import ModelProto, numpy_helper
from onnx.checker import ValidationError, check_model
from onnx.defs import SchemaError
from onnx.shape_inference import InferenceError

from ..errors import ConversionError
from ..networks.preprocessing import INPUT
from .graph_cleanup import tidy

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

OUTPUT: Final = "probabilities"

# The newest that tf2onnx 1.17 writes.
OPSET: Final = 18

# Weights of at least so many values are not shown to tf2onnx, which copies all it sees dozens of times: with
# them, AlexNet took three minutes and not half a minute.
_LARGE: Final = 1 << 20
_LARGE_INPUT: Final = "large_weight_"


def convert(network: keras.Model) -> bytes:
    """The ONNX file of a network whose input are pixels (see `architectures.pixels`).

    The graph takes `pixels`, uint8 of [batch, height, width, channels], and gives `probabilities`, float32 of
    [batch, classes]; the batch is free. The same weights give the same bytes.

    Raises:
        ConversionError: an operation has no ONNX form, or the result is not a valid graph.
    """
    import tensorflow as tf
    import tf2onnx

    large = [weight for weight in network.weights if np.prod(weight.shape) >= _LARGE]
    signature = [
        tf.TensorSpec([None, *network.input_shape[1:]], tf.uint8, name=INPUT),
        *(tf.TensorSpec(weight.shape, name=f"{_LARGE_INPUT}{place}") for place, weight in enumerate(large)),
    ]
    function = tf.function(_with_weights(network, large), signature, autograph=False)
    try:
        model, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
        _bind(model, large)
        tidy(model, name=network.name, inputs=[INPUT], outputs=[OUTPUT])
        model.producer_name, model.producer_version = "tf2onnx", tf2onnx.__version__
        check_model(model, full_check=True)
    except (ValueError, SchemaError, ValidationError, InferenceError) as error:
        raise ConversionError(f"{network.name} does not convert to ONNX: {error}") from error
    return bytes(model.SerializeToString(deterministic=True))


def _with_weights(network: keras.Model, weights: Sequence[keras.Variable]) -> Callable[..., tf.Tensor]:
    """The network as a function of the pixels and of the values of these weights of its own."""
    import keras

    def answer(pixels: tf.Tensor, *values: tf.Tensor) -> tf.Tensor:
        with keras.StatelessScope(state_mapping=list(zip(weights, values, strict=True))):
            return network(pixels, training=False)

    return answer


def _bind(model: ModelProto, weights: Sequence[keras.Variable]) -> None:
    """Make the inputs that stand for these weights constants."""
    graph = model.graph
    places = {value.name: value for value in graph.input}
    for place, weight in enumerate(weights):
        name = next(name for name in places if name.partition(":")[0] == f"{_LARGE_INPUT}{place}")
        graph.input.remove(places.pop(name))
        graph.initializer.append(numpy_helper.from_array(np.asarray(weight), name))
