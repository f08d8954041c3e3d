"""Runs `inspect.onnx` and the Keras networks of the shipped models on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from export.graph.structure import GraphStructure
from export.inspection.inspect_graph import FILE, SCORE_WEIGHTS, InspectGraph, build_inspect_graph
from export.inspection.layer import InspectedLayer


class InspectRun:
    """An inspect graph beside its model, opened by ONNX Runtime as any tool would open it."""

    def __init__(self, graph: bytes, folder: Path) -> None:
        self.built: InspectGraph = build_inspect_graph(graph, "model.onnx")
        (folder / "model.onnx").write_bytes(graph)
        (folder / FILE).write_bytes(self.built.content)
        self._session = onnxruntime.InferenceSession(str(folder / FILE), providers=["CPUExecutionProvider"])

    def layer(self, name: str) -> InspectedLayer:
        return next(layer for layer in self.built.layers if layer.name == name)

    def values(
        self, names: Sequence[str], images: NDArray[Any], weights: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        image = self._session.get_inputs()[0].name
        found: list[NDArray[np.float32]] = self._session.run(
            list(names), {image: images, SCORE_WEIGHTS: weights}
        )
        return found


def load_weights(network: keras.Model, structure: GraphStructure, output: str) -> None:
    """Copy the weights of one member of a graph into the Keras network that it was converted from."""
    layers = [layer for layer in structure.layers(output) if layer.kernel is not None]
    targets = [layer for layer in network.layers if layer.get_weights()]
    assert len(layers) == len(targets)
    channels: int | None = None
    for source, target in zip(layers, targets, strict=True):
        kernel = source.kernel
        assert kernel is not None
        if kernel.ndim == 4:
            kernel = kernel.transpose(2, 3, 1, 0)
            channels = kernel.shape[-1]
        elif channels is not None:  # Keras flattens with the channels last
            if not structure.keeps_channels_last(source.node.input[0]):
                side = round((len(kernel) / channels) ** 0.5)
                kernel = kernel.reshape(channels, side, side, -1).transpose(1, 2, 0, 3)
                kernel = kernel.reshape(-1, kernel.shape[-1])
            channels = None
        target.set_weights([kernel, source.bias])


def channels_first(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values.transpose(0, 3, 1, 2) if values.ndim == 4 else values
