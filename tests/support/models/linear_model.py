"""A linear classifier with any input and output that a manifest can describe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.repository.manifest import InputSpec, Manifest, OutputSpec
from export.repository.publish import publish

HEIGHT, WIDTH = 5, 7
LABELS = tuple("abcd")


@dataclass(frozen=True)
class Linear:
    """The classifier as an ONNX graph and in numpy."""

    input: InputSpec
    kind: Literal["probabilities", "logits", "sigmoid"]

    @property
    def matrix(self) -> NDArray[np.float32]:
        size = HEIGHT * WIDTH * self.input.channels
        reach = 255 if self.input.scale is None else 2
        matrix = np.random.default_rng(1).normal(0, 3 / reach / size**0.5, (size, len(LABELS)))
        return matrix.astype(np.float32)

    def graph(self) -> bytes:
        dtype = TensorProto.UINT8 if self.input.dtype == "uint8" else TensorProto.FLOAT
        nodes = [
            helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", ["floats"], ["rows"]),
            helper.make_node("MatMul", ["rows", "matrix"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"]),
            helper.make_node("Sigmoid", ["logits"], ["sigmoid"]),
        ]
        last = {"logits": [], "probabilities": nodes[3:4], "sigmoid": nodes[4:]}[self.kind]
        model = helper.make_model(
            helper.make_graph(
                [*nodes[:3], *last],
                "linear",
                [helper.make_tensor_value_info("pixels", dtype, ["batch", *self.input.shape()])],
                [helper.make_tensor_value_info(self.kind, TensorProto.FLOAT, ["batch", len(LABELS)])],
                [numpy_helper.from_array(self.matrix, "matrix")],
            ),
            opset_imports=[helper.make_opsetid("", 18)],
            ir_version=10,
        )
        return bytes(model.SerializeToString())

    def scores(self, inputs: NDArray[Any]) -> NDArray[np.float64]:
        """Return the outputs for inputs of the graph, in numpy."""
        logits = inputs.reshape(len(inputs), -1).astype(np.float64) @ self.matrix
        if self.kind == "sigmoid":
            return np.asarray(1 / (1 + np.exp(-logits)))
        return logits if self.kind == "logits" else softmax(logits)

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the probabilities of one image, [height, width, channels], in numpy."""
        values = pixels.astype(np.float64)
        values *= 1 if self.input.scale is None else self.input.scale
        values -= self.input.mean or 0
        values /= self.input.std or 1
        inputs = values if self.input.layout == "NHWC" else values.transpose(2, 0, 1)
        scores = self.scores(inputs[np.newaxis])[0]
        return softmax(scores) if self.kind == "logits" else scores

    def publish(self, models: Path) -> None:
        manifest = Manifest(
            name="linear",
            description="Weighs each pixel for each class.",
            input=self.input,
            output=OutputSpec(self.kind, self.kind),
            labels=LABELS,
            max_batch_size=16,
            opset=18,
            parameters=self.matrix.size,
            tolerance=1e-5,
        )
        random = np.random.default_rng(2)
        shape = (3, *(axis or 0 for axis in self.input.shape()))  # no axis is dynamic
        inputs = random.integers(0, 256, shape).astype(self.input.dtype)
        if self.input.dtype == "float32":
            inputs = inputs / np.float32(255)
        publish(models, manifest, self.graph(), inputs, self.scores(inputs).astype(np.float32))


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    exponentials = np.exp(logits)
    probabilities: NDArray[np.float64] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities
