from __future__ import annotations

from collections import Counter

import keras
import numpy as np
import onnx
import pytest
from keras import layers

from export.errors import ConversionError
from export.evaluation.verify import predict_keras, predict_onnx
from export.graph.convert import OPSET, convert
from export.graph.rewrites import rewrite
from export.networks import convnet
from export.networks.preprocessing import (
    Preprocessing,
    centred,
    colour_balanced,
    from_pixels,
    locally_normalized,
    rescaled,
    standardized,
    stretched,
)


def build() -> keras.Model:
    """Build Listing 8.1 with nonzero biases, because zeros would be removed by constant folding."""
    network = convnet.build()
    for weight in network.weights:
        weight.assign_add(keras.random.normal(weight.shape, stddev=0.05, seed=1))
    return from_pixels(network)


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return build()


@pytest.fixture(scope="module")
def graph(network: keras.Model) -> bytes:
    return convert(network)


@pytest.fixture(scope="module")
def model(graph: bytes) -> onnx.ModelProto:
    return onnx.load_from_string(graph)


def test_graph_has_pixels_input_probabilities_output_and_dynamic_batch(model: onnx.ModelProto) -> None:
    (pixels,), (probabilities,) = model.graph.input, model.graph.output
    assert (pixels.name, probabilities.name) == ("pixels", "probabilities")
    assert pixels.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert probabilities.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert axes(pixels) == ["batch", 28, 28, 1]
    assert axes(probabilities) == ["batch", 10]


def axes(value: onnx.ValueInfoProto) -> list[str | int]:
    return [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]


def test_graph_has_no_unnecessary_nodes(model: onnx.ModelProto) -> None:
    assert [node.op_type for node in model.graph.node] == [
        "Cast", "Mul", "Reshape",
        "Conv", "Relu", "MaxPool", "Conv", "Relu", "MaxPool", "Conv", "Relu",
        "Transpose", "Reshape", "MatMul", "Add", "Softmax",
    ]  # fmt: skip


def test_flatten_has_a_constant_shape(model: onnx.ModelProto) -> None:
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    shapes = [constants[node.input[1]].tolist() for node in model.graph.node if node.op_type == "Reshape"]
    assert shapes == [[-1, 1, 28, 28], [-1, 1152]]


def test_every_weight_is_stored_once(model: onnx.ModelProto) -> None:
    sizes = Counter[str]()
    for tensor in model.graph.initializer:
        sizes[onnx.TensorProto.DataType.Name(tensor.data_type)] += int(np.prod(tensor.dims))
    assert sizes["FLOAT"] == convnet.PARAMETERS + 1  # and 1/255
    assert sizes["INT64"] == 6  # the two shapes


def test_names_are_readable_and_unique(model: onnx.ModelProto) -> None:
    values = [tensor.name for tensor in model.graph.initializer]
    for node in model.graph.node:
        values.extend(node.output)
    names = [node.name for node in model.graph.node]
    assert len(set(values)) == len(values)
    assert len(set(names)) == len(names)
    assert all(name.replace("_", "").replace(".", "").isalnum() for name in values + names)


def test_model_has_opset_producer_and_no_metadata(model: onnx.ModelProto) -> None:
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", OPSET)]
    assert model.graph.name == "convnet"
    assert model.producer_name == "tf2onnx"
    assert model.producer_version.count(".") == 2
    assert not model.doc_string
    assert not model.graph.doc_string
    assert not model.metadata_props
    assert not model.graph.value_info
    onnx.checker.check_model(model, full_check=True)


def test_same_weights_give_the_same_bytes(network: keras.Model, graph: bytes) -> None:
    """Keras numbers its layers per process, so their names differ."""
    again = build()
    again.set_weights(network.get_weights())
    first, second = ([layer.name for layer in net.get_layer("convnet").layers] for net in (network, again))
    assert first != second
    assert convert(again) == graph


@pytest.mark.parametrize("count", [1, 16, 501])
def test_graph_outputs_match_keras(network: keras.Model, graph: bytes, count: int) -> None:
    pixels = np.random.default_rng(count).integers(0, 256, (count, 28, 28, 1), dtype=np.uint8)
    found = predict_onnx(graph, pixels)
    np.testing.assert_allclose(found, predict_keras(network, pixels), atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_cleanup_keeps_joins_splits_optional_inputs_and_shared_weights() -> None:
    """Covers operations that Listing 8.1 does not contain."""
    inputs = keras.Input((8, 8, 3))
    shared = layers.Dense(4)
    left, right = keras.ops.split(shared(inputs), 2, axis=-1)
    x = layers.Concatenate()([shared(layers.ReLU(max_value=0.5)(inputs)), right, inputs, left])
    x = layers.AveragePooling2D(2, padding="same")(x)
    x = layers.Flatten()(layers.BatchNormalization()(x))
    outputs = layers.Dense(5, activation="softmax")(layers.Dropout(0.5)(x))
    network = from_pixels(keras.Model(inputs, outputs, name="other"))
    pixels = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), dtype=np.uint8)
    graph = convert(network)
    np.testing.assert_allclose(predict_onnx(graph, pixels), predict_keras(network, pixels), atol=1e-5)
    assert "Shape" not in {node.op_type for node in onnx.load_from_string(graph).graph.node}


def test_large_weights_are_inlined_correctly() -> None:
    """Covers two weights of the same shape, one of them used twice."""
    inputs = keras.Input((8, 8, 3))
    first, second = (layers.Dense(1100, use_bias=False) for _ in range(2))
    x = layers.Dense(1100, activation="tanh")(layers.Flatten()(inputs))
    x = second(keras.ops.tanh(first(keras.ops.tanh(second(x)))))
    outputs = layers.Dense(5, activation="softmax")(x)
    network = from_pixels(keras.Model(inputs, outputs, name="large"))
    pixels = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), dtype=np.uint8)
    graph = convert(network)
    np.testing.assert_allclose(predict_onnx(graph, pixels), predict_keras(network, pixels), atol=1e-5)
    sizes = [int(np.prod(tensor.dims)) for tensor in onnx.load_from_string(graph).graph.initializer]
    assert sizes.count(1100 * 1100) == 2


def test_operation_without_onnx_equivalent_is_rejected() -> None:
    """On a CPU Keras compiles a grouped convolution to a call that tf2onnx does not convert."""
    inputs = keras.Input((8, 8, 4))
    outputs = layers.Dense(2, activation="softmax")(layers.Flatten()(layers.Conv2D(4, 3, groups=2)(inputs)))
    with pytest.raises(
        ConversionError, match=r"^grouped cannot be converted to ONNX: .*StatefulPartitionedCall"
    ):
        convert(from_pixels(keras.Model(inputs, outputs, name="grouped")))


@pytest.mark.parametrize(
    "preprocess", [rescaled, centred, standardized, colour_balanced, locally_normalized, stretched]
)
def test_every_preprocessing_converts(preprocess: Preprocessing) -> None:
    """Includes dark and bright images and a uniform channel, where small differences are amplified."""
    inputs = keras.Input((48, 48, 3))
    x = layers.Conv2D(4, 7, strides=4, kernel_initializer=keras.initializers.HeNormal(seed=1))(inputs)
    outputs = layers.Dense(3, activation="softmax")(layers.Flatten()(x))
    network = from_pixels(keras.Model(inputs, outputs), preprocess)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 48, 48, 3), dtype=np.uint8)
    pixels[1] //= 64
    pixels[2] = 250 + pixels[2] // 64
    pixels[3, ..., 1] = 7
    found_outputs = predict_onnx(rewrite(convert(network)).graph, pixels)
    np.testing.assert_allclose(found_outputs, predict_keras(network, pixels), atol=1e-4)
