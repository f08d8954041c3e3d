"""Builds `inspect.onnx` from the graph of a classifier.

The graph has two inputs: the images, and `score_weights`, a weight of each class `(batch, classes)`. Its
outputs are those of all layers, the logits, and the gradients of the weighted sum of the logits with respect
to the outputs of the layers and to the image. Its metadata describe the layers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import onnx
from onnx import helper

from ..errors import ConversionError
from ..graph.graph_cleanup import infer_shapes
from ..graph.rewrites.graph_index import GraphIndex
from ..graph.rewrites.local_response_norm import decompose
from ..graph.structure import GraphStructure
from .external_weights import refer_to_weights
from .gradients import add_gradients, unsupported
from .graph_builder import GraphBuilder
from .layer import InspectedLayer
from .layers import find_layers
from .score import exact_maps, logits_of

FILE: Final = "inspect.onnx"
SCORE_WEIGHTS: Final = "score_weights"
LOGITS: Final = "logits"
METADATA: Final = "convserve.inspect"
FORMAT: Final = 1


@dataclass(frozen=True)
class InspectGraph:
    """A graph for inspection.

    Attributes:
        content: the ONNX file.
        layers: the layers it returns.
        document: the description in its metadata.
    """

    content: bytes
    layers: Sequence[InspectedLayer]
    document: Mapping[str, Any]

    def with_figures(self, faithfulness: Mapping[str, Any]) -> InspectGraph:
        """Return the same graph with measured figures of the methods in its metadata."""
        model = onnx.load_from_string(self.content)
        document = {**self.document, "faithfulness": faithfulness}
        _describe(model, document)
        return InspectGraph(_serialized(model), self.layers, document)


def build_inspect_graph(graph: bytes, file: str) -> InspectGraph:
    """Build the graph.

    Args:
        graph: the served graph of a classifier.
        file: the name of its file, from which the graph takes its weights.

    Raises:
        ConversionError: the network has no convolution, or a shape is unknown. An operator without a
            backward form is no error: the graph then has no gradients, and its metadata say why.
    """
    members = GraphStructure(graph).members()
    model = onnx.load_from_string(graph)
    infer_shapes(model)
    while decompose(GraphIndex(model)):
        infer_shapes(model)
    builder = GraphBuilder(model)
    layers = find_layers(builder, members)
    if not any(layer.operator == "Conv" for layer in layers):
        raise ConversionError("the network has no convolution, so there are no feature maps to look at")
    columns = [logits_of(builder, output) for output in members]
    exact = [exact_maps(builder, value) for value in columns]
    gradients, reason = _gradients(builder, columns)
    layers = [layer.with_gradient(gradients.get(layer.value)) for layer in layers]
    image = model.graph.input[0].name
    logits = _mean(builder, columns)
    _set_outputs(builder, layers, logits, gradients.get(image))
    known = {layer.value: layer.name for layer in layers}
    document = {
        "format": FORMAT,
        "columns": len(columns),
        "parameters": sum(layer.parameters for layer in layers),
        "multiply_adds": sum(layer.multiply_adds for layer in layers),
        "logits": LOGITS,
        "score_weights": None if reason else SCORE_WEIGHTS,
        "input_gradient": gradients.get(image),
        "exact": [known[value] for value in exact if value in known] if all(exact) and not reason else [],
        "reason": reason,
        "layers": [layer.document() for layer in layers],
        "faithfulness": {},
    }
    refer_to_weights(model, graph, file)
    _describe(model, document)
    del model.graph.value_info[:]
    return InspectGraph(_serialized(model), layers, document)


def _gradients(builder: GraphBuilder, columns: Sequence[str]) -> tuple[Mapping[str, str], str | None]:
    """Add the gradients; returns none and a reason if an operator has no backward form."""
    missing = unsupported(builder, list(columns))
    if missing:
        return {}, f"no backward form of {', '.join(missing)}"
    seed = SCORE_WEIGHTS
    if len(columns) > 1:
        seed = builder.add("Mul", [SCORE_WEIGHTS, builder.number(1 / len(columns))])
    nodes = len(builder.model.graph.node)
    try:
        return add_gradients(builder, dict.fromkeys(columns, seed)), None
    except ConversionError as error:
        del builder.model.graph.node[nodes:]
        return {}, str(error)


def _mean(builder: GraphBuilder, columns: Sequence[str]) -> str:
    return columns[0] if len(columns) == 1 else builder.add("Mean", columns)


def _set_outputs(
    builder: GraphBuilder, layers: Sequence[InspectedLayer], logits: str, input_gradient: str | None
) -> None:
    graph = builder.model.graph
    classes = builder.shape(logits)[-1] if logits in builder.producers else None
    classes = classes or builder.shape(graph.output[0].name)[-1]
    graph.node.append(helper.make_node("Identity", [logits], [LOGITS], LOGITS))
    values = [LOGITS, *(layer.value for layer in layers)]
    values += [layer.gradient for layer in layers if layer.gradient is not None]
    values += [] if input_gradient is None else [input_gradient]
    float32 = onnx.TensorProto.FLOAT
    if any(SCORE_WEIGHTS in node.input for node in graph.node):
        graph.input.append(helper.make_tensor_value_info(SCORE_WEIGHTS, float32, ["batch", classes]))
    del graph.output[:]
    graph.output.extend(helper.make_tensor_value_info(name, float32, None) for name in dict.fromkeys(values))


def _describe(model: onnx.ModelProto, document: Mapping[str, Any]) -> None:
    del model.metadata_props[:]
    helper.set_model_props(model, {METADATA: json.dumps(document, separators=(",", ":"))})


def _serialized(model: onnx.ModelProto) -> bytes:
    return bytes(model.SerializeToString(deterministic=True))
