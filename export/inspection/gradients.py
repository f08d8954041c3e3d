"""Writes the backward pass of a graph as operators that run forwards."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from ..errors import ConversionError
from .backward_rules import RULES
from .graph_builder import GraphBuilder


def add_gradients(graph: GraphBuilder, seeds: Mapping[str, str]) -> Mapping[str, str]:
    """Append the gradient of a sum of values, with respect to every value that it depends on.

    Args:
        seeds: the gradient of each value that the sum consists of.

    Returns:
        The name of the gradient of each value.

    Raises:
        ConversionError: an operator on the way has no backward form; the message names it.
    """
    parts: dict[str, list[str]] = {value: [seed] for value, seed in seeds.items()}
    found: dict[str, str] = {}
    for node in reversed(graph.nodes):
        if not parts.get(node.output[0]):
            continue
        gradient = found[node.output[0]] = _sum(graph, parts[node.output[0]])
        for value, part in _backward(graph, node, gradient):
            parts.setdefault(value, []).append(part)
    for image in graph.model.graph.input:
        if image.name in parts:
            found[image.name] = _sum(graph, parts[image.name])
    return found


def unsupported(graph: GraphBuilder, values: list[str]) -> list[str]:
    """Return the operators that values depend on and that have no backward form, each once."""
    waiting, seen, missing = list(values), set[str](), set[str]()
    while waiting:
        value = waiting.pop()
        node = graph.producers.get(value)
        if node is None or value in seen or not graph.varies(value):
            continue
        seen.add(value)
        if node.op_type not in RULES or node.domain not in ("", "ai.onnx"):
            missing.add(node.op_type)
        waiting.extend(name for name in node.input if name)
    return sorted(missing)


def _backward(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> list[tuple[str, str]]:
    rule = RULES.get(node.op_type)
    if rule is None:
        raise ConversionError(f"the operator {node.op_type} has no backward form")
    gradients = rule(graph, node, gradient)
    return [(node.input[place], part) for place, part in gradients.items() if graph.varies(node.input[place])]


def _sum(graph: GraphBuilder, parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else graph.add("Sum", parts)
