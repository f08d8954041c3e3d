"""Convolution and pooling in ONNX Runtime, on examples computed by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.graph.ort_session import OrtSession

MAP = [[3, 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3], [2, 0, 0, 2, 2], [2, 0, 0, 0, 1]]
KERNEL = [[0, 1, 2], [2, 2, 0], [0, 1, 2]]
POOLED = [[3, 13, 17, 11], [5, 3, 1, 23], [7, 1, 2, 3], [11, 17, 1, 4]]


def run(kind: str, x: NDArray[np.float32], *weights: NDArray[np.float32], **attributes: Any) -> Any:
    names = [f"weight{place}" for place in range(len(weights))]
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node(kind, ["x", *names], ["y"], **attributes)],
            "operator",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(value, name) for name, value in zip(names, weights, strict=True)],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    return OrtSession(model.SerializeToString()).run(x)


def plane(rows: list[list[int]]) -> NDArray[np.float32]:
    return np.array(rows, np.float32)[np.newaxis, np.newaxis]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, [[12, 12, 17], [10, 17, 19], [9, 6, 14]]),
        ({"strides": [2, 2]}, [[12, 17], [9, 14]]),
        (
            {"pads": [1, 1, 1, 1]},
            [
                [6, 14, 17, 11, 3],
                [14, 12, 12, 17, 11],
                [8, 10, 17, 19, 13],
                [11, 9, 6, 14, 12],
                [6, 4, 4, 6, 4],
            ],
        ),
        ({"pads": [1, 1, 1, 1], "strides": [2, 2]}, [[6, 17, 3], [8, 17, 13], [6, 4, 4]]),
    ],
)
def test_convolution_does_not_flip_the_kernel(attributes: dict[str, Any], expected: list[list[int]]) -> None:
    assert run("Conv", plane(MAP), plane(KERNEL), **attributes)[0, 0].tolist() == expected


def test_pooling_returns_the_maximum_or_the_mean() -> None:
    window = {"kernel_shape": [2, 2], "strides": [2, 2]}
    assert run("MaxPool", plane(POOLED), **window)[0, 0].tolist() == [[13, 23], [17, 4]]
    assert run("AveragePool", plane(POOLED), **window)[0, 0].tolist() == [[6, 13], [9, 2.5]]


def test_convolution_sums_over_channels() -> None:
    output = run("Conv", np.ones((1, 3, 6, 6), np.float32), np.ones((1, 3, 3, 3), np.float32))
    assert output.shape == (1, 1, 4, 4)
    assert (output == 27).all()
