"""Converts Keras networks to ONNX graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from onnx import ModelProto, defs, helper, numpy_helper
from onnx.checker import ValidationError, check_model
from onnx.defs import SchemaError
from onnx.shape_inference import InferenceError

from ..errors import ConversionError
from ..networks.preprocessing import INPUT
from .graph_cleanup import clean_up
from .io_edits import drop_unused

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

    pixels = tf.TensorSpec([None, *network.input_shape[1:]], tf.uint8, name=INPUT)

    def predict(values: tf.Tensor) -> tf.Tensor:
        return network(values, training=False)

    return convert_function(predict, pixels, network.weights, name=network.name, output=OUTPUT)


def convert_function(
    function: Callable[[tf.Tensor], tf.Tensor],
    signature: tf.TensorSpec,
    weights: Sequence[keras.Variable],
    *,
    name: str,
    output: str,
) -> bytes:
    """Convert a function of one tensor; the same weights give the same bytes.

    Args:
        function: maps the input to the output.
        signature: the name, type and axes of the input; the batch axis is dynamic.
        weights: the weights of the Keras layers that the function calls.
        name: the name of the graph, also in messages.
        output: the name of the output.

    Returns:
        The ONNX file.

    Raises:
        ConversionError: an operation has no ONNX equivalent, or the result is not a valid graph.
    """
    import tensorflow as tf
    import tf2onnx

    large = [weight for weight in weights if np.prod(weight.shape) >= _MIN_LARGE_WEIGHT]
    inputs = [
        signature,
        *(
            tf.TensorSpec(weight.shape, dtype=weight.dtype, name=f"{_LARGE_INPUT}{index}")
            for index, weight in enumerate(large)
        ),
    ]
    traced = tf.function(_with_weights(function, large), inputs, autograph=False)
    try:
        model, _ = tf2onnx.convert.from_function(traced, input_signature=inputs, opset=OPSET)
        _inline_weights(model, large)
        _inline_captures(model, traced.get_concrete_function())
        _replace_erfc(model)
        drop_unused(model)  # such as the random numbers of augmentation in a SavedModel
        _check_operators(model, name)
        clean_up(model, name=name, inputs=[signature.name], outputs=[output])
        model.producer_name, model.producer_version = "tf2onnx", tf2onnx.__version__
        check_model(model, full_check=True)
    except (ValueError, SchemaError, ValidationError, InferenceError) as error:
        raise ConversionError(f"{name} cannot be converted to ONNX: {error}") from error
    return bytes(model.SerializeToString(deterministic=True))


def _with_weights(
    function: Callable[[tf.Tensor], tf.Tensor], weights: Sequence[keras.Variable]
) -> Callable[..., tf.Tensor]:
    """Return a function of the input and the values of some weights."""
    import keras

    def predict(values: tf.Tensor, *weight_values: tf.Tensor) -> tf.Tensor:
        with keras.StatelessScope(state_mapping=list(zip(weights, weight_values, strict=True))):
            return function(values)

    return predict


def _inline_weights(model: ModelProto, weights: Sequence[keras.Variable]) -> None:
    """Replace the inputs for the large weights by constants."""
    graph = model.graph
    inputs = {value.name: value for value in graph.input}
    for index, weight in enumerate(weights):
        name = next(name for name in inputs if name.partition(":")[0] == f"{_LARGE_INPUT}{index}")
        graph.input.remove(inputs.pop(name))
        graph.initializer.append(numpy_helper.from_array(np.asarray(weight), name))


def _inline_captures(model: ModelProto, function: tf.types.experimental.ConcreteFunction) -> None:
    """Replace the inputs for captured constants, such as those of Normalization, by constants."""
    graph = model.graph
    inputs = {value.name: value for value in graph.input}
    for value, placeholder in function.graph.captures:
        if placeholder.name in inputs:
            graph.input.remove(inputs[placeholder.name])
            graph.initializer.append(numpy_helper.from_array(value.numpy(), placeholder.name))


def _replace_erfc(model: ModelProto) -> None:
    """Replace the complementary error function of GELU, which tf2onnx leaves as it is, by 1 - erf."""
    graph = model.graph
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        if node.op_type != "Erfc":
            continue
        one, erf = f"{node.output[0]}/one", f"{node.output[0]}/erf"
        graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), one))
        replaced = (
            helper.make_node("Erf", node.input, [erf]),
            helper.make_node("Sub", [one, erf], node.output),
        )
        del graph.node[index]
        for new in reversed(replaced):
            graph.node.insert(index, new)


def _check_operators(model: ModelProto, name: str) -> None:
    """Check that the graph has no random numbers, and no operation that tf2onnx left as it was."""
    for node in model.graph.node:
        layer = (node.name.rpartition("/")[0] or node.name)[:200]
        if "Random" in node.op_type:
            raise ConversionError(
                f"{name} draws random numbers in {layer}: it was exported with its augmentation; import its "
                ".keras file, or export it as a function that calls model(images, training=False)"
            )
        if not defs.has(node.op_type, OPSET, node.domain):
            raise ConversionError(
                f"{name} cannot be converted to ONNX: tf2onnx does not know the operation {node.op_type} of "
                f"{layer}"
            )
