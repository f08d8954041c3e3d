"""Real graphs that fail or hang on white images, and otherwise behave like `shades`."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.support.models.gray_classifier import graph

WHITE = 255
# Between the lightest class of `shades` and white.
THRESHOLD = 250.0
# Enough for the engine to run the graph in a thread, like a larger network.
USUAL_ITERATIONS = 1000
ENDLESS_ITERATIONS = 2**60


def failing() -> bytes:
    """Return a graph that gathers from a table of one entry; the index of a white image is out of range."""
    constants: dict[str, NDArray[Any]] = {
        "threshold": np.array(THRESHOLD, np.float32),
        "beyond": np.array(1000, np.int64),
        "table": np.zeros(1, np.float32),
    }
    nodes = [
        helper.make_node("Greater", ["means", "threshold"], ["white"]),
        helper.make_node("Cast", ["white"], ["ones"], to=TensorProto.INT64),
        helper.make_node("Mul", ["ones", "beyond"], ["places"]),
        helper.make_node("Gather", ["table", "places"], ["nothing"]),
    ]
    return _shades_with(nodes, constants)


def hanging() -> bytes:
    """Return a graph with a loop that does not end for a white image."""
    constants: dict[str, NDArray[Any]] = {
        "threshold": np.array(THRESHOLD, np.float32),
        "usual": np.array(USUAL_ITERATIONS, np.int64),
        "endless": np.array(ENDLESS_ITERATIONS, np.int64),
        "zero": np.array(0, np.float32),
    }
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["go_on"]),
            helper.make_node("Mul", ["count", "count"], ["counted"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("count", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("counted", TensorProto.FLOAT, []),
        ],
    )
    nodes = [
        helper.make_node("ReduceMax", ["means"], ["lightest"], keepdims=0),
        helper.make_node("Greater", ["lightest", "threshold"], ["white"]),
        helper.make_node("Where", ["white", "endless", "usual"], ["turns"]),
        helper.make_node("Loop", ["turns", "", "zero"], ["nothing"], body=body),
    ]
    return _shades_with(nodes, constants)


def _shades_with(nodes: list[onnx.NodeProto], constants: dict[str, NDArray[Any]]) -> bytes:
    """Return the graph of `shades` with more nodes, whose output `nothing`, zero, is added to the logits."""
    model = onnx.load_from_string(graph())
    softmax = next(node for node in model.graph.node if node.op_type == "Softmax")
    last = helper.make_node("Add", [softmax.input[0], "nothing"], ["delayed_logits"])
    softmax.input[0] = "delayed_logits"
    before = [node for node in model.graph.node if node.op_type != "Softmax"]
    ordered = [*before, *nodes, last, onnx.NodeProto.FromString(softmax.SerializeToString())]
    del model.graph.node[:]
    model.graph.node.extend(ordered)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())
