"""Divides the logits of a published graph by a temperature.

A last dense layer takes the temperature into its weights, so that the graph computes nothing more.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from onnx.checker import check_model

from ..errors import ConversionError
from .graph_cleanup import clean_up
from .io_edits import add_after_output, drop_unused, new_constant
from .rewrites.graph_index import GraphIndex, attribute

# Less than any probability that matters; its logarithm is finite.
_EPSILON: Final = 1e-30


def divide_logits(graph: bytes, temperature: float, *, softmax: bool) -> bytes:
    """Return the graph with logits that are divided by the temperature.

    The logarithm of the output takes the place of logits if no softmax computes the output, as of the mean
    probabilities of an ensemble.

    Args:
        graph: the ONNX file.
        temperature: the temperature.
        softmax: True if the output is probabilities, False if it is logits.

    Raises:
        ConversionError: the bytes are not an ONNX file, or the new graph is not valid.
    """
    try:
        model = onnx.load_from_string(graph)
    except Exception as error:  # protobuf raises several types
        raise ConversionError("the graph is not an ONNX file") from error
    index = GraphIndex(model)
    logits = output = model.graph.output[0].name
    if softmax:
        node = index.producer(output, "Softmax")
        logits = "" if node is None else node.input[0]
    if not (logits and _scale_constants(model, index, logits, 1 / temperature)):
        _append(model, output, logits, 1 / temperature)
    drop_unused(model)
    names = [[value.name for value in values] for values in (model.graph.input, model.graph.output)]
    try:
        clean_up(model, model.graph.name, *names)
        check_model(model, full_check=True)
    except Exception as error:  # the checker raises several types
        raise ConversionError(f"the graph cannot be calibrated: {error}") from error
    return bytes(model.SerializeToString(deterministic=True))


def _scale_constants(model: onnx.ModelProto, index: GraphIndex, logits: str, factor: float) -> bool:
    """Multiply the constants that the logits are linear in; return False if there are others than float32."""
    node = index.sole_producer(logits, "Mul")
    if node is not None:
        positions = [(node, place) for place in (0, 1) if index.constant(node.input[place]) is not None]
    elif (node := index.producer(logits, "Gemm")) is not None:
        if attribute(node, "alpha", 1.0) != 1 or attribute(node, "beta", 1.0) != 1:
            return False
        positions = [(node, place) for place in range(1, len(node.input))]
    elif (node := index.producer(logits, "Add")) is not None:
        product = index.sole_producer(node.input[0], "MatMul")
        if product is None:
            return False
        positions = [(product, 1), (node, 1)]
    elif (node := index.producer(logits, "MatMul")) is not None:
        positions = [(node, 1)]
    else:
        return False
    arrays: list[NDArray[np.float32]] = []
    for each, place in positions:
        array = index.constant(each.input[place])
        if array is None or array.dtype != np.float32:
            return False
        arrays.append(array)
    if not arrays or any(logits in each.input for each in model.graph.node if each.op_type != "Softmax"):
        return False
    for (each, place), array in zip(positions, arrays, strict=True):
        each.input[place] = new_constant(model, "calibrated", (array * np.float32(factor)).astype(np.float32))
    return True


def _append(model: onnx.ModelProto, output: str, logits: str, factor: float) -> None:
    scale = new_constant(model, "scale", np.array(factor, np.float32))
    if logits == output:
        add_after_output(model, lambda inner, outer: [helper.make_node("Mul", [inner, scale], [outer])])
        return
    floor = new_constant(model, "floor", np.array(_EPSILON, np.float32))
    steps = ["bounded/output", "logarithm/output", "scaled/output"]
    add_after_output(
        model,
        lambda inner, outer: [
            helper.make_node("Max", [inner, floor], [steps[0]]),
            helper.make_node("Log", [steps[0]], [steps[1]]),
            helper.make_node("Mul", [steps[1], scale], [steps[2]]),
            helper.make_node("Softmax", [steps[2]], [outer], axis=-1),
        ],
    )
