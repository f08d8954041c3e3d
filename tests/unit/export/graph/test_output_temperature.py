"""The division of a published graph's logits by a temperature."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.errors import ConversionError
from export.evaluation import metrics, temperature_scaling
from export.graph.ort_session import OrtSession
from export.graph.output_temperature import divide_logits
from export.graph.structure import GraphStructure

RANDOM = np.random.default_rng(3)
INPUTS = RANDOM.integers(0, 256, (40, 6), dtype=np.uint8)
MATRIX, BIAS = RANDOM.normal(0, 0.02, (6, 4)).astype(np.float32), RANDOM.normal(0, 1, 4).astype(np.float32)

Node = tuple[str, Sequence[str], str]

DENSE: dict[str, Sequence[Node]] = {
    "Gemm": [("Gemm", ["x", "matrix", "bias"], "logits")],
    "MatMul and Add": [("MatMul", ["x", "matrix"], "product"), ("Add", ["product", "bias"], "logits")],
    "MatMul": [("MatMul", ["x", "matrix"], "logits")],
}
SOFTMAX: Node = ("Softmax", ["logits"], "output")


def graph(*nodes: Node) -> bytes:
    made = [helper.make_node(op_type, list(inputs), [output]) for op_type, inputs, output in nodes]
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Cast", ["pixels"], ["x"], to=TensorProto.FLOAT), *made],
            "dense",
            [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", 6])],
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 4])],
            [numpy_helper.from_array(array, name) for name, array in (("matrix", MATRIX), ("bias", BIAS))],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    return bytes(model.SerializeToString())


def operators(content: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(content).graph.node]


def run(content: bytes) -> NDArray[np.float32]:
    return OrtSession(content).run(INPUTS)


@pytest.mark.parametrize("dense", DENSE)
@pytest.mark.parametrize("temperature", [0.6, 1.7])
def test_last_layer_takes_the_temperature_into_its_weights(dense: str, temperature: float) -> None:
    before = graph(*DENSE[dense], SOFTMAX)
    after = divide_logits(before, temperature, softmax=True)
    assert operators(after) == operators(before)
    np.testing.assert_allclose(run(after), temperature_scaling.soften(run(before), temperature), atol=1e-6)
    assert np.abs(run(after) - run(before)).max() > 0.05


def test_logits_stay_logits() -> None:
    before = graph(*DENSE["MatMul and Add"][:-1], ("Add", ["product", "bias"], "output"))
    after = divide_logits(before, 1.7, softmax=False)
    assert operators(after) == operators(before)
    np.testing.assert_allclose(run(after), run(before) / 1.7, rtol=1e-5)


def test_output_of_another_layer_is_divided() -> None:
    logits = [*DENSE["Gemm"], ("Tanh", ["logits"], "bounded")]
    before = graph(*logits, ("Softmax", ["bounded"], "output"))
    after = divide_logits(before, 0.5, softmax=True)
    np.testing.assert_allclose(run(after), temperature_scaling.soften(run(before), 0.5), atol=1e-6)
    assert operators(after)[-4:] == ["Max", "Log", "Mul", "Softmax"]
    plain = graph(*DENSE["Gemm"], ("Tanh", ["logits"], "output"))
    divided = divide_logits(plain, 0.5, softmax=False)
    np.testing.assert_allclose(run(divided), run(plain) / 0.5, rtol=1e-6)


def averaged() -> bytes:
    return graph(
        *DENSE["Gemm"],
        ("Softmax", ["logits"], "first"),
        ("MatMul", ["x", "matrix"], "others"),
        ("Softmax", ["others"], "second"),
        ("Mean", ["first", "second"], "output"),
    )


def test_mean_probabilities_are_calibrated_together_and_again() -> None:
    once = divide_logits(averaged(), 0.6, softmax=True)
    expected = temperature_scaling.soften(run(averaged()), 0.6)
    np.testing.assert_allclose(run(once), expected, atol=1e-6)
    members = GraphStructure(once).members()
    assert len(members) == 2
    twice = divide_logits(once, 1 / 0.6, softmax=True)
    np.testing.assert_allclose(run(twice), run(averaged()), atol=1e-6)
    assert operators(twice) == operators(once)


def test_impossible_classes_stay_impossible() -> None:
    far = [
        ("Mul", ["bias", "matrix"], "unused"),
        ("MatMul", ["x", "matrix"], "small"),
        ("Exp", ["small"], "large"),
    ]
    before = graph(*far[1:], ("Mul", ["large", "large"], "logits"), ("Hardmax", ["logits"], "output"))
    after = run(divide_logits(before, 0.6, softmax=True))
    np.testing.assert_allclose(after, run(before), atol=1e-6)
    assert metrics.accuracy(after, run(before).argmax(axis=1)) == 1


def test_weights_that_another_node_uses_are_kept() -> None:
    shared: Node = ("MatMul", ["x", "matrix"], "logits")
    before = graph(
        shared,
        ("ReduceMax", ["logits"], "peak"),
        ("Sub", ["logits", "peak"], "low"),
        ("Softmax", ["low"], "output"),
    )
    after = divide_logits(before, 0.6, softmax=True)
    np.testing.assert_allclose(run(after), temperature_scaling.soften(run(before), 0.6), atol=1e-6)


def test_other_bytes_are_refused() -> None:
    with pytest.raises(ConversionError, match="not an ONNX file"):
        divide_logits(b"text", 2.0, softmax=True)
