"""Lists the layers of a classifier with shapes, parameters, multiply-adds and receptive fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from types import MappingProxyType
from typing import Final

import onnx

from ..errors import ConversionError
from ..graph.rewrites.graph_index import attribute
from .fields import Field, receptive_fields
from .graph_builder import GraphBuilder
from .layer import InspectedLayer
from .windows import Window

# Stem of a layer's name and its kind, by operator.
_KINDS: Final = MappingProxyType(
    {
        "Conv": ("conv", "convolution"),
        "MatMul": ("dense", "dense"),
        "Gemm": ("dense", "dense"),
        "MaxPool": ("pool", "max pooling"),
        "AveragePool": ("pool", "average pooling"),
        "GlobalAveragePool": ("pool", "global average pooling"),
        "Relu": ("relu", "ReLU"),
        "LeakyRelu": ("relu", "leaky ReLU"),
        "PRelu": ("relu", "parametric ReLU"),
        "Clip": ("clip", "clipping"),
        "Elu": ("elu", "ELU"),
        "Tanh": ("tanh", "hyperbolic tangent"),
        "Sigmoid": ("sigmoid", "sigmoid"),
        "HardSigmoid": ("sigmoid", "hard sigmoid"),
        "HardSwish": ("swish", "hard swish"),
        "LRN": ("norm", "local response normalization"),
        "BatchNormalization": ("norm", "batch normalization"),
        "Concat": ("concat", "concatenation"),
        "Add": ("sum", "sum"),
        "Softmax": ("softmax", "softmax"),
    }
)
_WEIGHTED: Final = ("Conv", "MatMul", "Gemm")
_POOLINGS: Final = ("MaxPool", "AveragePool")
# Operators whose constants after the first input are parameters.
_NORMALIZING: Final = ("BatchNormalization", "PRelu")
INPUT: Final = "input"


def find_layers(graph: GraphBuilder, columns: Sequence[str]) -> list[InspectedLayer]:
    """Return the layers of each column, in the order of the graph, without preprocessing.

    Args:
        columns: the output of each column of an ensemble; a single network has one.

    Raises:
        ConversionError: a shape is unknown.
    """
    first = {node.input[0] for node in graph.nodes if node.op_type == "Conv"}
    first = {value for value in first if not _follows_weights(graph, value)}
    found: list[InspectedLayer] = []
    fields = receptive_fields(graph, first)
    for number, output in enumerate(columns, start=1):
        column = _Column(graph, number if len(columns) > 1 else None)
        for layer in column.layers(output):
            found.append(_with_field(layer, fields))
    return found


def _with_field(layer: InspectedLayer, fields: Mapping[str, Field | None]) -> InspectedLayer:
    return replace(layer, field=fields.get(layer.value)) if len(layer.shape) == 3 else layer


@dataclass
class _Column:
    graph: GraphBuilder
    number: int | None
    names: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def layers(self, output: str) -> Iterator[InspectedLayer]:
        started = False
        needed = ancestors(self.graph, [output])
        for node in self.graph.nodes:
            if node.output[0] not in needed or not self.graph.varies(node.output[0]):
                continue
            is_layer = self._is_layer(node)
            started = started or (is_layer and node.op_type in _WEIGHTED)
            if started and is_layer:
                yield self._layer(node)
            elif started and is_response_division(self.graph, node):
                yield self._named(node, "norm", "local response normalization", node.output[0])

    def _is_layer(self, node: onnx.NodeProto) -> bool:
        if node.op_type not in _KINDS:
            return False
        if node.op_type == "Conv":
            return not _sums_squares(self.graph, node)
        if node.op_type in ("MatMul", "Gemm"):
            return not self.graph.varies(node.input[1])
        if node.op_type == "Add":
            return all(map(self.graph.varies, node.input)) and len(self.graph.shape(node.output[0])) == 4
        return True

    def _layer(self, node: onnx.NodeProto) -> InspectedLayer:
        stem, kind = _KINDS[node.op_type]
        value, bias = node.output[0], _own_bias(node)
        if node.op_type == "MatMul":
            value, bias = self._added_bias(node)
        layer = self._named(node, stem, kind, value)
        if node.op_type not in _WEIGHTED:
            return self._unweighted(layer, node)
        weights = self.graph.shape(node.input[1])
        count = prod(_known(node, weights))
        return self._windowed(
            layer,
            node,
            weights=node.input[1],
            bias=bias,
            parameters=count + (prod(_known(node, self.graph.shape(bias))) if bias else 0),
            multiply_adds=count * (prod(layer.shape[1:]) if node.op_type == "Conv" else 1),
        )

    def _unweighted(self, layer: InspectedLayer, node: onnx.NodeProto) -> InspectedLayer:
        if node.op_type in _NORMALIZING:
            sizes = (prod(_known(node, self.graph.shape(name))) for name in node.input[1:])
            return replace(layer, parameters=sum(sizes))
        return self._windowed(layer, node) if node.op_type in _POOLINGS else layer

    def _windowed(self, layer: InspectedLayer, node: onnx.NodeProto, **changes: object) -> InspectedLayer:
        if node.op_type in ("Conv", *_POOLINGS):
            window = Window.of(self.graph, node)
            changes |= {
                "kernel": window.kernel,
                "stride": window.stride,
                "dilation": window.dilation,
                "padding": (*window.before, *window.after),
                "groups": attribute(node, "group", 1) if node.op_type == "Conv" else None,
            }
        return replace(layer, **changes)  # type: ignore[arg-type]

    def _named(self, node: onnx.NodeProto, stem: str, kind: str, value: str) -> InspectedLayer:
        self.counts[stem] = self.counts.get(stem, 0) + 1
        name = f"{stem}{self.counts[stem]}"
        name = name if self.number is None else f"column{self.number}.{name}"
        inputs = self._sources(node)
        self.names[value] = name
        shape = _known(node, self.graph.shape(value)[1:])
        return InspectedLayer(
            name=name,
            kind=kind,
            operator=node.op_type if stem != "norm" or node.op_type != "Div" else "LRN",
            column=self.number,
            inputs=inputs,
            value=value,
            shape=tuple(shape),
        )

    def _sources(self, node: onnx.NodeProto) -> tuple[str, ...]:
        """Return the layers whose outputs a node takes, through nodes that are no layers."""
        found: list[str] = []
        waiting = [value for value in node.input if self.graph.varies(value)]
        while waiting:
            value = waiting.pop(0)
            producer = self.graph.producers.get(value)
            if value in self.names:
                found.append(self.names[value])
            elif producer is not None:
                waiting.extend(each for each in producer.input if self.graph.varies(each))
            else:
                found.append(INPUT)
        return tuple(dict.fromkeys(found))

    def _added_bias(self, node: onnx.NodeProto) -> tuple[str, str | None]:
        users = [each for each in self.graph.nodes if node.output[0] in each.input]
        if len(users) == 1 and users[0].op_type == "Add":
            others = [name for name in users[0].input if name != node.output[0]]
            if len(others) == 1 and not self.graph.varies(others[0]):
                return users[0].output[0], others[0]
        return node.output[0], None


def ancestors(graph: GraphBuilder, values: Sequence[str]) -> set[str]:
    """Return the values that some values depend on, themselves included."""
    waiting, found = list(values), set[str]()
    while waiting:
        value = waiting.pop()
        if value not in found:
            found.add(value)
            node = graph.producers.get(value)
            waiting.extend(name for name in (() if node is None else node.input) if name)
    return found


def is_response_division(graph: GraphBuilder, node: onnx.NodeProto) -> bool:
    """Return True for the last node of a local response normalization that was written out."""
    if node.op_type != "Div" or not all(map(graph.varies, node.input)):
        return False
    return any(_sums_squares(graph, each) for each in _before(graph, node.input[1], steps=4))


def _before(graph: GraphBuilder, value: str, steps: int) -> Iterator[onnx.NodeProto]:
    node = graph.producers.get(value)
    if node is not None and steps:
        yield node
        yield from _before(graph, node.input[0], steps - 1)


def _sums_squares(graph: GraphBuilder, node: onnx.NodeProto) -> bool:
    if node.op_type != "Conv":
        return False
    squares = graph.producers.get(node.input[0])
    return squares is not None and (
        (squares.op_type == "Mul" and squares.input[0] == squares.input[1]) or squares.op_type == "Pow"
    )


def _follows_weights(graph: GraphBuilder, value: str) -> bool:
    return any(
        graph.producers[name].op_type in _WEIGHTED
        for name in ancestors(graph, [value])
        if name in graph.producers
    )


def _own_bias(node: onnx.NodeProto) -> str | None:
    return node.input[2] if len(node.input) > 2 and node.input[2] else None


def _known(node: onnx.NodeProto, shape: Sequence[int | None]) -> list[int]:
    sizes = [size for size in shape if size is not None]
    if len(sizes) < len(shape):
        raise ConversionError(f"the shape of {node.name or node.op_type} is not known in advance")
    return sizes
