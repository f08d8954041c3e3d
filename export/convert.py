"""Writes a Keras network as an ONNX graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from onnx.checker import ValidationError, check_model
from onnx.defs import SchemaError
from onnx.shape_inference import InferenceError

from .architectures.pixels import INPUT
from .errors import ConversionError
from .graph import tidy

if TYPE_CHECKING:
    import keras

OUTPUT: Final = "probabilities"

# The newest that tf2onnx 1.17 writes.
OPSET: Final = 18


def convert(network: keras.Model) -> bytes:
    """The ONNX file of a network whose input are pixels (see `architectures.pixels`).

    The graph takes `pixels`, uint8 of [batch, height, width, channels], and gives `probabilities`, float32 of
    [batch, classes]; the batch is free. The same weights give the same bytes.

    Raises:
        ConversionError: an operation has no ONNX form, or the result is not a valid graph.
    """
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec([None, *network.input_shape[1:]], tf.uint8, name=INPUT)]
    function = tf.function(lambda pixels: network(pixels, training=False), signature, autograph=False)
    try:
        model, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
        model = tidy(model, name=network.name, inputs=[INPUT], outputs=[OUTPUT])
        model.producer_name, model.producer_version = "tf2onnx", tf2onnx.__version__
        check_model(model, full_check=True)
    except (ValueError, SchemaError, ValidationError, InferenceError) as error:
        raise ConversionError(f"{network.name} does not convert to ONNX: {error}") from error
    return bytes(model.SerializeToString(deterministic=True))
