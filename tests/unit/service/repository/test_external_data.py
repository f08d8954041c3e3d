from __future__ import annotations

from typing import Any

import onnx
import pytest
from onnx import (
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    SparseTensorProto,
    TensorProto,
    TrainingInfoProto,
    helper,
)

from service.repository.external_data import MESSAGES, external_files
from service.repository.protobuf_message import MAX_FIELDS
from tests.support.models.gray_classifier import graph


def external(name: str = "weights.bin") -> TensorProto:
    tensor = TensorProto(name="w", dims=[4], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="offset", value="0")
    tensor.external_data.add(key="location", value=name)
    return tensor


def sparse(**tensor: Any) -> SparseTensorProto:
    return SparseTensorProto(**tensor)


def node(**attributes: Any) -> NodeProto:
    return helper.make_node("Any", ["x"], ["y"], **attributes)


def body(*nodes: NodeProto) -> GraphProto:
    return GraphProto(name="body", node=nodes)


def in_bodies(levels: int) -> NodeProto:
    inner = node(value=external())
    for _ in range(levels):
        inner = node(then_branch=body(inner))
    return inner


MODELS = {
    "initializer": ModelProto(graph=GraphProto(initializer=[external()])),
    "sparse values": ModelProto(graph=GraphProto(sparse_initializer=[sparse(values=external())])),
    "sparse indices": ModelProto(graph=GraphProto(sparse_initializer=[sparse(indices=external())])),
    "constant": ModelProto(graph=body(node(value=external()))),
    "constants": ModelProto(graph=body(node(values=[external("other"), external()]))),
    "sparse constant": ModelProto(graph=body(node(value=sparse(values=external())))),
    "body": ModelProto(graph=body(in_bodies(1))),
    "bodies": ModelProto(graph=body(node(branches=[body(), body(node(value=external()))]))),
    "nested bodies": ModelProto(graph=body(in_bodies(10))),
    "function": ModelProto(functions=[FunctionProto(name="f", node=[node(value=external())])]),
    "function's attribute": ModelProto(
        functions=[FunctionProto(attribute_proto=[helper.make_attribute("a", external())])]
    ),
    "training": ModelProto(training_info=[TrainingInfoProto(algorithm=body(node(value=external())))]),
    "initialization": ModelProto(training_info=[TrainingInfoProto(initialization=body(in_bodies(1)))]),
}


def found(model: bytes) -> frozenset[str]:
    return external_files(memoryview(model))


@pytest.mark.parametrize("place", MODELS)
def test_file_is_found_in_every_place_of_a_tensor(place: str) -> None:
    assert "weights.bin" in found(MODELS[place].SerializeToString())


def test_graph_with_its_weights_uses_no_file() -> None:
    assert found(graph()) == frozenset()


def test_text_in_other_fields_is_no_file() -> None:
    model = ModelProto(doc_string="location", metadata_props=[{"key": "location", "value": "weights.bin"}])
    assert found(model.SerializeToString()) == frozenset()


def test_table_has_every_field_that_can_hold_a_tensor() -> None:
    """Compares the table with the messages of the ONNX library."""
    expected: dict[str, dict[int, str]] = {}

    def visit(message: Any) -> bool:
        """True if the message can hold a tensor."""
        if message.name == "TensorProto":
            return True
        if message.name not in expected:
            fields = expected.setdefault(message.name, {})
            for field in message.fields:
                if field.message_type is not None and visit(field.message_type):
                    fields[field.number] = field.message_type.name
        return message.name in REACHING

    visit(onnx.ModelProto.DESCRIPTOR)
    reaching = {name: fields for name, fields in expected.items() if fields}
    own = {name: dict(fields) for name, fields in MESSAGES.items()}
    assert own.pop("TensorProto") == {onnx.TensorProto.EXTERNAL_DATA_FIELD_NUMBER: "StringStringEntryProto"}
    assert own == reaching


# Messages that hold each other: a graph has nodes, whose attributes have graphs.
REACHING = {
    "GraphProto",
    "NodeProto",
    "AttributeProto",
    "SparseTensorProto",
    "FunctionProto",
    "TrainingInfoProto",
}


@pytest.mark.parametrize(
    "content",
    [b"\x3a", b"\x3a\x05ab", b"\xff" * 11, b"\x3b\x3c", b"\x02", b"\x3a\x03\x0a\x05a", b"\x0d\x00"],
)
def test_damaged_message_is_an_error(content: bytes) -> None:
    with pytest.raises(ValueError, match="it "):
        found(content)


def test_number_of_fields_is_limited() -> None:
    with pytest.raises(ValueError, match="more than 2,000,000 fields"):
        found(b"\x08\x01" * (MAX_FIELDS + 1))


def test_depth_is_limited() -> None:
    content = b""
    for _ in range(40):  # node, attribute and graph
        for tag in (b"\x32", b"\x2a", b"\x0a"):
            length = len(content)
            varint = bytes([length & 0x7F | 0x80, length >> 7 & 0x7F | 0x80, length >> 14])
            content = tag + varint + content
    varint = bytes([len(content) & 0x7F | 0x80, len(content) >> 7 & 0x7F | 0x80, len(content) >> 14])
    with pytest.raises(ValueError, match="more than 100 levels"):
        found(b"\x3a" + varint + content)
