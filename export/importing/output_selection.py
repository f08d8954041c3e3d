"""Chooses the output of a graph that holds the scores, and removes the others."""

from __future__ import annotations

from typing import Final

import onnx
from onnx import TensorProto, helper

from ..errors import ConversionError, UsageError
from ..graph.io_edits import axes_of, drop_unused, make_output

_SCORES: Final = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
# scikit-learn's classifiers return a label, and a map from labels to probabilities for each row.
_ZIP_MAP: Final = "ZipMap"


def select_output(model: onnx.ModelProto, name: str | None) -> tuple[str, ...]:
    """Keep one output in place, with the nodes that it needs.

    Args:
        model: the graph.
        name: the name of the output; None for the only one with scores.

    Returns:
        The names of the classes, if the graph has them; otherwise nothing.

    Raises:
        ConversionError: there is no such output, or it has no scores.
        UsageError: several outputs have scores.
    """
    graph = model.graph
    chosen = _named(graph, name) if name is not None else _only(graph)
    labels = _class_names(graph, chosen.name)
    producer = _producer(graph, chosen.name)
    if producer is not None and producer.op_type == _ZIP_MAP:
        chosen = make_output(producer.input[0])
    elif chosen.type.tensor_type.elem_type not in _SCORES:
        raise ConversionError(
            f"the output {_describe(chosen)} has no scores; expected a row of numbers for each image"
        )
    kept = onnx.ValueInfoProto()
    kept.CopyFrom(chosen)
    del graph.output[:]
    graph.output.append(kept)
    drop_unused(model)
    return labels


def _named(graph: onnx.GraphProto, name: str) -> onnx.ValueInfoProto:
    for output in graph.output:
        if output.name == name:
            return output
    hint = "; --output-kind sets what the scores are" if name in ("probabilities", "logits") else ""
    outputs = ", ".join(map(_describe, graph.output))
    raise ConversionError(f"the graph has no output {name!r}; it has {outputs}{hint}")


def _only(graph: onnx.GraphProto) -> onnx.ValueInfoProto:
    if len(graph.output) == 1:
        return graph.output[0]
    with_scores = [output for output in graph.output if _has_scores(graph, output)]
    if len(with_scores) == 1:
        return with_scores[0]
    outputs = ", ".join(map(_describe, graph.output))
    raise UsageError(
        f"the graph has {len(graph.output)} outputs: {outputs}; name the one with the scores of the classes, "
        f"such as --output {(with_scores or graph.output)[0].name}"
    )


def _has_scores(graph: onnx.GraphProto, output: onnx.ValueInfoProto) -> bool:
    producer = _producer(graph, output.name)
    is_map = producer is not None and producer.op_type == _ZIP_MAP
    return is_map or output.type.tensor_type.elem_type in _SCORES


def _class_names(graph: onnx.GraphProto, output: str) -> tuple[str, ...]:
    """Return the classes that the ZipMap or the classifier at the end of the graph names."""
    seen, value = 0, output
    while (node := _producer(graph, value)) is not None and seen < 10:
        for attribute in node.attribute:
            if attribute.name in ("classlabels_strings", "classlabels_int64s", "classlabels_ints"):
                names = helper.get_attribute_value(attribute)
                if len(names):
                    return tuple(
                        name.decode(errors="replace") if isinstance(name, bytes) else str(name)
                        for name in names
                    )
        if not node.input:
            break
        seen, value = seen + 1, node.input[0]
    return ()


def _producer(graph: onnx.GraphProto, value: str) -> onnx.NodeProto | None:
    return next((node for node in graph.node if value in node.output), None)


def _describe(output: onnx.ValueInfoProto) -> str:
    if not output.type.HasField("tensor_type"):
        return f"{output.name!r} (no tensor)"
    elem_type = TensorProto.DataType.Name(output.type.tensor_type.elem_type).lower()
    axes = ", ".join("?" if axis is None else str(axis) for axis in axes_of(output))
    return f"{output.name!r} ({elem_type} [{axes}])"
