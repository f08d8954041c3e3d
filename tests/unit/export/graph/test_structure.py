from __future__ import annotations

import numpy as np
import pytest

from export.graph.structure import GraphStructure
from export.report import layer_table
from tests.support.models.gray_classifier import graph
from tests.support.models.shipped import highest_version


def structure(name: str) -> GraphStructure:
    return GraphStructure((highest_version(name) / "model.onnx").read_bytes())


@pytest.mark.parametrize(
    ("name", "members", "parameters", "kernels"),
    [
        ("convnet", 1, 104_202, (3, 3, 1, 32)),
        ("lenet5", 1, 61_706, (5, 5, 1, 6)),
        ("signnet", 5, 1_543_443, (7, 7, 3, 100)),
        ("filters", 1, 100, (5, 5, 1, 4)),
    ],
)
def test_members_layers_and_weights_are_found(
    name: str, members: int, parameters: int, kernels: tuple[int, ...]
) -> None:
    found = structure(name)
    outputs = found.members()
    assert len(outputs) == members
    for output in outputs:
        assert sum(layer.parameters for layer in found.layers(output)) == parameters
    assert [kernel.shape for kernel in found.first_kernels()] == [kernels] * members


def test_weights_of_members_differ() -> None:
    first, second, *_ = structure("signnet").first_kernels()
    assert not np.allclose(first, second)


def test_layers_of_equal_members_are_listed_once() -> None:
    lines = list(layer_table.render(structure("signnet")))
    assert lines[2] == "Each of the 5 members:"
    assert "| convolution, 7x7 | 100 maps of 42x42 | 14,800 |" in lines
    assert "| dense | 300 | 675,300 |" in lines
    assert sum(line.startswith("| convolution") for line in lines) == 3


def test_maps_of_any_size_are_named() -> None:
    assert "| convolution, 5x5 | 4 maps of any size | 100 |" in list(layer_table.render(structure("filters")))


def test_graph_without_weights_has_layers_but_no_kernels() -> None:
    found = GraphStructure(graph())
    assert found.first_kernels() == []
    assert [layer.node.op_type for layer in found.layers("probabilities")][-1] == "Softmax"
