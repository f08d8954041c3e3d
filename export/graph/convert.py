"""Converts Keras networks to ONNX graphs."""

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
from .graph_cleanup import clean_up

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

OUTPUT: Final = "probabilities"

# The newest one that tf2onnx 1.17 supports.
OPSET: Final = 18

# tf2onnx copies all weights many times. Weights of at least this many values are replaced by inputs during
# the conversion, which takes AlexNet from three minutes to half a minute.
_MIN_LARGE_WEIGHT: Final = 1 << 20
_LARGE_INPUT: Final = "large_weight_"


def convert(network: keras.Model) -> bytes:
    """Convert a network from `preprocessing.from_pixels`; the same weights give the same bytes.

    Returns:
        The ONNX file. Its input `pixels` is uint8, [batch, height, width, channels], its output
        `probabilities` is float32, [batch, classes]. The batch axis is dynamic.

    Raises:
        ConversionError: an operation has no ONNX equivalent, or the result is not a valid graph.
    """
    import tensorflow as tf
    import tf2onnx

    large = [weight for weight in network.weights if np.prod(weight.shape) >= _MIN_LARGE_WEIGHT]
    signature = [
        tf.TensorSpec([None, *network.input_shape[1:]], tf.uint8, name=INPUT),
        *(tf.TensorSpec(weight.shape, name=f"{_LARGE_INPUT}{index}") for index, weight in enumerate(large)),
    ]
    function = tf.function(_with_weights(network, large), signature, autograph=False)
    try:
        model, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
        _inline_weights(model, large)
        clean_up(model, name=network.name, inputs=[INPUT], outputs=[OUTPUT])
        model.producer_name, model.producer_version = "tf2onnx", tf2onnx.__version__
        check_model(model, full_check=True)
    except (ValueError, SchemaError, ValidationError, InferenceError) as error:
        raise ConversionError(f"{network.name} cannot be converted to ONNX: {error}") from error
    return bytes(model.SerializeToString(deterministic=True))


def _with_weights(network: keras.Model, weights: Sequence[keras.Variable]) -> Callable[..., tf.Tensor]:
    """Return the network as a function of the pixels and the values of some of its weights."""
    import keras

    def predict(pixels: tf.Tensor, *values: tf.Tensor) -> tf.Tensor:
        with keras.StatelessScope(state_mapping=list(zip(weights, values, strict=True))):
            return network(pixels, training=False)

    return predict


def _inline_weights(model: ModelProto, weights: Sequence[keras.Variable]) -> None:
    """Replace the inputs for the large weights by constants."""
    graph = model.graph
    inputs = {value.name: value for value in graph.input}
    for index, weight in enumerate(weights):
        name = next(name for name in inputs if name.partition(":")[0] == f"{_LARGE_INPUT}{index}")
        graph.input.remove(inputs.pop(name))
        graph.initializer.append(numpy_helper.from_array(np.asarray(weight), name))
