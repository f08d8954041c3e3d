"""Each rewrite keeps the outputs for random inputs and leaves the expected nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.graph.convert import convert
from export.graph.rewrites import CHANNELS_LAST, FLOAT32_WEIGHTS, REWRITES, SPEEDUPS, rewrite
from export.networks.alexnet import response_normalization
from export.networks.preprocessing import from_pixels

RANDOM = np.random.default_rng(0)


def floats(*shape: int) -> NDArray[np.float32]:
    return RANDOM.normal(0, 1, shape).astype(np.float32)


def graph(nodes: Sequence[onnx.NodeProto], axes: Sequence[int | str], constants: Mapping[str, Any]) -> bytes:
    """Return a model from `x`, float32 with this shape, to `y`."""
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "some",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, axes)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    inferred = onnx.shape_inference.infer_shapes(model)
    onnx.checker.check_model(inferred)
    return bytes(inferred.SerializeToString())


def run(model: bytes, x: NDArray[Any]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    outputs: NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: x})[0]
    return outputs


def op_types(model: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(model).graph.node]


def check(model: bytes, x: NDArray[Any], *, named: str, nodes: Sequence[str]) -> None:
    """Check the nodes and outputs after one rewrite, and that it is deterministic and idempotent."""
    (chosen,) = (each for each in REWRITES if each.name == named)
    rewritten = rewrite(model, [chosen])
    assert rewritten.rewrites == (named,)
    assert op_types(rewritten.graph) == list(nodes)
    np.testing.assert_allclose(run(rewritten.graph, x), run(model, x), rtol=1e-4, atol=1e-5)
    assert rewrite(model, [chosen]).graph == rewritten.graph
    assert rewrite(rewritten.graph, [chosen]).rewrites == ()


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


LAST, FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


def test_inverse_transposes_are_removed() -> None:
    nodes = [
        node("Relu", "x", "a"),
        node("Transpose", "a", "b", perm=LAST),
        node("Transpose", "b", "c", perm=FIRST),
        node("Neg", "c", "y"),
    ]
    model = graph(nodes, ["batch", 3, 4, 5], {})
    check(model, floats(2, 3, 4, 5), named="channels-first", nodes=["Relu", "Neg"])


def test_transpose_with_another_consumer_is_kept() -> None:
    nodes = [
        node("Transpose", "x", "b", perm=LAST),
        node("Transpose", "b", "c", perm=FIRST),
        node("Flatten", "b", "d"),
        node("Flatten", "c", "e"),
        node("Concat", "d e", "y", axis=1),
    ]
    left = ["Transpose", "Flatten", "Flatten", "Concat"]
    check(graph(nodes, [2, 3, 4, 5], {}), floats(2, 3, 4, 5), named="channels-first", nodes=left)


def test_consecutive_transposes_are_merged() -> None:
    nodes = [node("Transpose", "x", "b", perm=LAST), node("Transpose", "b", "y", perm=[0, 2, 1, 3])]
    check(graph(nodes, [2, 3, 4, 5], {}), floats(2, 3, 4, 5), named="channels-first", nodes=["Transpose"])


def test_split_is_moved_before_the_transpose() -> None:
    nodes = [
        node("Transpose", "x", "a", perm=LAST),
        node("Split", "a", "b c", axis=-1, num_outputs=2),
        node("Transpose", "b", "d", perm=FIRST),
        node("Transpose", "c", "e", perm=FIRST),
        node("Concat", "e d", "y", axis=1),
    ]
    model = graph(nodes, ["batch", 6, 4, 5], {})
    check(model, floats(2, 6, 4, 5), named="channels-first", nodes=["Split", "Concat"])


def test_transpose_is_folded_into_a_dense_layer() -> None:
    nodes = [
        node("Transpose", "x", "a", perm=LAST),
        node("Reshape", "a rows", "b"),
        node("MatMul", "b matrix", "y"),
    ]
    constants = {"rows": np.array([-1, 60]), "matrix": floats(60, 7)}
    model = graph(nodes, ["batch", 3, 4, 5], constants)
    check(model, floats(2, 3, 4, 5), named="channels-first", nodes=["Reshape", "MatMul"])


def grouped(order: str, *, activated: bool) -> bytes:
    """Return a model with two convolutions on half of the channels each, concatenated in this order."""
    nodes = [node("Split", "x", "left right", axis=1, num_outputs=2)]
    for half in ("left", "right"):
        made = f"{half}/sum" if activated else f"{half}/done"
        nodes.append(node("Conv", f"{half} {half}/kernel {half}/bias", made, pads=[1, 1, 1, 1]))
        if activated:
            nodes.append(node("Relu", made, f"{half}/done"))
    nodes.append(node("Concat", order, "y", axis=1))
    constants = {
        f"{half}/{part}": floats(*shape)
        for half in ("left", "right")
        for part, shape in (("kernel", (5, 2, 3, 3)), ("bias", (5,)))
    }
    return graph(nodes, ["batch", 4, 6, 6], constants)


@pytest.mark.parametrize("activated", [False, True])
def test_parallel_convolutions_become_one_grouped_convolution(activated: bool) -> None:
    model = grouped("left/done right/done", activated=activated)
    left = ["Conv", "Relu"] if activated else ["Conv"]
    check(model, floats(2, 4, 6, 6), named="grouped-convolution", nodes=left)
    (conv, *_) = onnx.load_from_string(rewrite(model).graph).graph.node
    assert {each.name: each.i for each in conv.attribute}["group"] == 2


def test_swapped_branches_are_not_grouped() -> None:
    assert rewrite(grouped("right/done left/done", activated=True)).rewrites == ()


@pytest.mark.parametrize(("size", "bias"), [(5, 2.0), (3, 1.0), (11, 1.0)])
def test_decomposed_response_normalization_is_equivalent(size: int, bias: float) -> None:
    nodes = [node("LRN", "x", "y", size=size, alpha=5e-4, beta=0.75, bias=bias)]
    expected = ["Mul", "Conv", "Sqrt", "Sqrt", "Mul", "Div"]
    x = floats(2, 9, 4, 5) * 100
    check(graph(nodes, ["batch", 9, 4, 5], {}), x, named="response-normalisation", nodes=expected)


@pytest.mark.parametrize("pooled", [True, False])
def test_channels_last_response_normalization_is_equivalent(pooled: bool) -> None:
    """One pass is saved, because a factor is folded into the next convolution."""
    nodes = [
        node("LRN", "x", "a", size=5, alpha=5e-4, beta=0.75, bias=2.0),
        *([node("MaxPool", "a", "b", kernel_shape=[2, 2])] if pooled else []),
        node("Conv", "b kernel" if pooled else "a kernel", "y", group=3),
    ]
    model = graph(nodes, ["batch", 9, 4, 5], {"kernel": floats(6, 3, 2, 2)})
    rewritten = rewrite(model, [*SPEEDUPS, CHANNELS_LAST])
    assert rewritten.rewrites == ("response-normalisation", "response-normalisation-channels-last")
    passes = ["Pow", "AveragePool", "Add", "Sqrt", "Sqrt", "Mul", "Div"]
    assert [kind for kind in op_types(rewritten.graph) if kind in (*passes, "Conv")] == [*passes, "Conv"]
    x = floats(2, 9, 4, 5) * 100
    np.testing.assert_allclose(run(rewritten.graph, x), run(model, x), rtol=1e-4, atol=1e-4)


def test_response_normalization_without_next_convolution_stays_channels_first() -> None:
    nodes = [node("LRN", "x", "y", size=5, alpha=5e-4, beta=0.75, bias=2.0)]
    rewritten = rewrite(graph(nodes, ["batch", 9, 4, 5], {}), [*SPEEDUPS, CHANNELS_LAST])
    assert rewritten.rewrites == ("response-normalisation",)


def test_response_normalization_with_another_exponent_is_kept() -> None:
    nodes = [node("LRN", "x", "y", size=5, alpha=5e-4, beta=0.5, bias=2.0)]
    assert rewrite(graph(nodes, ["batch", 9, 4, 5], {})).rewrites == ()


SCALE = floats(3)


@pytest.mark.parametrize("pads", [0, 1])
def test_input_scale_is_folded_into_the_first_convolution(pads: int) -> None:
    """The offset is folded only without padding."""
    nodes = [
        node("Mul", "x factor", "a"),
        node("Add", "a offset", "b"),
        node("Mul", "b colour", "c"),
        node("Transpose", "c", "d", perm=FIRST),
        node("Conv", "d kernel bias", "y", pads=[pads] * 4),
    ]
    constants = {
        "factor": np.float32(1 / 255),
        "offset": SCALE,
        "colour": SCALE.reshape(1, 1, 1, 3),
        "kernel": floats(4, 3, 3, 3),
        "bias": floats(4),
    }
    left = ["Mul", "Add", "Transpose", "Conv"] if pads else ["Transpose", "Conv"]
    model = graph(nodes, ["batch", 6, 5, 3], constants)
    check(model, floats(2, 6, 5, 3) * 255, named="input-scaling", nodes=left)


def test_offset_becomes_the_bias() -> None:
    nodes = [node("Sub", "x offset", "a"), node("Conv", "a kernel", "y")]
    constants = {"offset": SCALE.reshape(1, 3, 1, 1), "kernel": floats(4, 3, 3, 3)}
    check(
        graph(nodes, ["batch", 3, 6, 5], constants),
        floats(2, 3, 6, 5),
        named="input-scaling",
        nodes=["Conv"],
    )


def test_constant_along_another_axis_is_kept() -> None:
    nodes = [node("Mul", "x factor", "a"), node("Conv", "a kernel", "y")]
    constants = {"factor": floats(3), "kernel": floats(4, 3, 3, 3)}
    assert rewrite(graph(nodes, ["batch", 3, 6, 3], constants)).rewrites == ()


def test_scaled_value_with_another_consumer_is_kept() -> None:
    nodes = [
        node("Mul", "x factor", "a"),
        node("Conv", "a kernel", "b"),
        node("Add", "a b", "y"),
    ]
    constants = {"factor": np.float32(3), "kernel": floats(3, 3, 1, 1)}
    assert rewrite(graph(nodes, ["batch", 3, 6, 5], constants)).rewrites == ()


def test_rewrites_reduce_a_network_like_alexnet_to_its_layers() -> None:
    inputs = keras.Input((19, 19, 3))
    x = layers.Rescaling(255.0, offset=[-120.0, -110.0, -100.0])(inputs)
    x = layers.MaxPooling2D(2)(response_normalization(layers.Conv2D(8, 4, strides=3, activation="relu")(x)))
    halves = [layers.Conv2D(6, 3, padding="same", activation="relu") for _ in range(2)]
    parts = keras.ops.split(x, 2, axis=-1)
    x = layers.Concatenate()([half(part) for half, part in zip(halves, parts, strict=True)])
    x = layers.Flatten()(response_normalization(x))
    outputs = layers.Dense(5, activation="softmax")(layers.Dense(7, activation="relu")(x))
    network = keras.Model(inputs, outputs, name="like_alexnet")
    for weight in network.weights:  # biases of zero would be folded away
        weight.assign_add(keras.random.normal(weight.shape, stddev=0.05, seed=1))
    plain = convert(from_pixels(network))
    rewritten = rewrite(plain)
    assert rewritten.rewrites == (
        "channels-first",
        "grouped-convolution",
        "input-scaling",
        "response-normalisation",
    )
    normalization = ["Mul", "Conv", "Sqrt", "Sqrt", "Mul", "Div"]
    assert op_types(rewritten.graph) == [
        *["Cast", "Transpose", "Conv", "Relu", *normalization, "MaxPool"],
        *["Conv", "Relu", *normalization, "Reshape"],
        *["MatMul", "Add", "Relu", "MatMul", "Add", "Softmax"],
    ]
    pixels = RANDOM.integers(0, 256, (9, 19, 19, 3), dtype=np.uint8)
    np.testing.assert_allclose(run(rewritten.graph, pixels), run(plain, pixels), atol=1e-5)


def dense(matrix: NDArray[np.float32]) -> bytes:
    return graph([node("MatMul", "x matrix", "y")], ["batch", len(matrix)], {"matrix": matrix})


def test_float16_weights_are_half_the_size_and_restored_exactly() -> None:
    matrix = floats(100, 64).astype(np.float16).astype(np.float32)
    model, x = dense(matrix), floats(2, 100)
    check(model, x, named="weights-in-half", nodes=["Cast", "MatMul"])
    halved = rewrite(model).graph
    assert len(halved) < 0.55 * len(model)
    np.testing.assert_array_equal(run(halved, x), run(model, x))
    restored = rewrite(halved, [FLOAT32_WEIGHTS])
    assert restored.rewrites == ("weights-whole",)
    assert op_types(restored.graph) == ["MatMul"]
    np.testing.assert_array_equal(run(restored.graph, x), run(model, x))


@pytest.mark.parametrize("weight", [0.1, 1e6], ids=str)
def test_weights_that_need_float32_are_kept(weight: float) -> None:
    matrix = np.ones((100, 64), np.float32)
    matrix[3, 5] = weight
    assert rewrite(dense(matrix)).rewrites == ()
