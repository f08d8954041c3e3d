"""A small real classifier of ten shades of gray; tests compute its scores in numpy."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from export.repository.manifest import Evaluation, Example, InputSpec, Manifest, OutputSpec
from export.repository.publish import publish

SIDE = 8
CLASSES = 10
LABELS = tuple(f"shade {index}" for index in range(CLASSES))
# The middle of each tenth of the range from black to white, in uint8 values.
CENTERS = (np.arange(CLASSES, dtype=np.float32) + 0.5) * 255 / CLASSES
SHARPNESS = 0.05


def level(index: int) -> int:
    """A gray value that the model labels `shade <index>`."""
    return int(CENTERS[index])


def scores(rows: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The graph's scores, computed in numpy: `(n, 8, 8, 1)` to `(n, 10)`."""
    means = rows.reshape(len(rows), -1).astype(np.float32).mean(axis=1, keepdims=True)
    logits = -SHARPNESS * (means - CENTERS) ** 2
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float32] = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities


def graph() -> bytes:
    """The model as ONNX: mean of the pixels, distance to each center, softmax."""
    constants: dict[str, NDArray[Any]] = {
        "axes": np.array([1, 2, 3], dtype=np.int64),
        "row": np.array([-1, 1], dtype=np.int64),
        "centers": CENTERS.reshape(1, CLASSES),
        "sharpness": np.array(-SHARPNESS, dtype=np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["mean"], keepdims=1),
        helper.make_node("Reshape", ["mean", "row"], ["means"]),
        helper.make_node("Sub", ["means", "centers"], ["distances"]),
        helper.make_node("Mul", ["distances", "distances"], ["squares"]),
        helper.make_node("Mul", ["squares", "sharpness"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, [None, SIDE, SIDE, 1])
    probabilities = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, CLASSES])
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "shades", [pixels], [probabilities], initializers),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def rows(*levels: int) -> NDArray[np.uint8]:
    """One uniform image for each gray value, as the model's input: `(n, 8, 8, 1)`."""
    flat = np.array(levels, dtype=np.uint8).reshape(-1, 1, 1, 1)
    return np.broadcast_to(flat, (len(levels), SIDE, SIDE, 1)).copy()


def image(value: int, *, side: int = SIDE, form: str = "PNG") -> bytes:
    """A uniform image as an encoded file."""
    buffer = io.BytesIO()
    Image.new("L", (side, side), value).save(buffer, form)
    return buffer.getvalue()


def configure(models: Path, text: str, name: str = "shades") -> None:
    """Writes the configuration of a model, at once."""
    new = models / name / ".config.toml"
    new.write_text(text)
    new.rename(models / name / "config.toml")


def publish_shades(
    models: Path,
    name: str = "shades",
    *,
    max_batch_size: int = 16,
    tolerance: float = 1e-5,
    onnx_graph: bytes | None = None,
) -> Path:
    """Publishes the next version with the export's publisher; returns the version's folder.

    `onnx_graph` is another graph with the same scores for the ten shades.
    """
    manifest = Manifest(
        name=name,
        description="Classifies ten shades of gray.",
        input=InputSpec("pixels", "uint8", "NHWC", SIDE, SIDE, 1, "stretch"),
        output=OutputSpec("probabilities", "probabilities"),
        labels=LABELS,
        max_batch_size=max_batch_size,
        opset=18,
        parameters=0,
        tolerance=tolerance,
        example=Example("example.png", LABELS[7]),
        evaluation=Evaluation(
            "uniform grays", CLASSES, accuracy=1.0, top5=1.0, calibration_error=0.0, predicted=(1,) * CLASSES
        ),
    )
    inputs = rows(*(level(index) for index in range(CLASSES)))
    return publish(
        models, manifest, onnx_graph or graph(), inputs, scores(inputs), {"example.png": image(level(7))}
    )
