"""Classifiers in the forms in which other tools export them, and their scores by the graphs as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIDE: Final = 8
FLOAT, HALF, DOUBLE = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE
LABELS: Final = ("cat", "dog", "stop sign", "Ente", "none of these")
CLASSES: Final = len(LABELS)
RAW: Final = ("--raw-pixels",)
UNIT: Final = ("--scale", "1/255")

Axes = tuple[int | str | None, ...]


@dataclass(frozen=True)
class Foreign:
    """A graph from elsewhere.

    Attributes:
        model: the graph.
        prepare: maps an image, uint8 [height, width, channels], to the input of the graph.
        finish: maps the output of the graph to probabilities, [classes].
        options: the options of its import.
        labels: its labels.
        output: its output that has the scores.
        side, channels: of its images.
        runnable: an equal graph that ONNX Runtime can run, if it cannot run this one.
    """

    model: onnx.ModelProto
    prepare: Callable[[NDArray[np.uint8]], NDArray[Any]]
    finish: Callable[[Any], NDArray[np.float64]]
    options: tuple[str, ...] = UNIT
    labels: tuple[str, ...] | None = LABELS
    output: str = "scores"
    side: int = SIDE
    channels: int = 3
    runnable: onnx.ModelProto | None = None

    def image(self) -> NDArray[np.uint8]:
        shape = (self.side, self.side, self.channels)
        return np.random.default_rng(5).integers(0, 256, shape).astype(np.uint8)

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return what the graph as it is says about an image."""
        model = self.runnable or self.model
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        inputs = {session.get_inputs()[0].name: self.prepare(pixels)}
        return self.finish(session.run([self.output], inputs)[0])


def network(
    *,
    axes: Axes = ("batch", 3, SIDE, SIDE),
    dtype: int = FLOAT,
    output_axes: Axes = ("batch", CLASSES),
    tail: Sequence[onnx.NodeProto] = (),
    units: int = CLASSES,
    reach: float = 1,
    rows: Sequence[int] = (0, -1),
    constants: Mapping[str, NDArray[Any]] | None = None,
    output_dtype: int | None = None,
) -> onnx.ModelProto:
    """Return a convolution, a mean and a dense layer, whose logits are turned into `scores` by the tail.

    Args:
        axes: of the input, channels first.
        dtype: of the input, the weights and the output.
        output_axes: of the output.
        tail: nodes from `logits` to `scores`; nothing if the logits are the scores.
        units: the number of scores.
        reach: the largest value of the input.
        rows: the shape to which the means are reshaped.
        constants: further constants.
        output_dtype: of the output, if it is another one.
    """
    random = np.random.default_rng(1)
    numbers = helper.tensor_dtype_to_np_dtype(dtype)
    weights = {
        "kernel": random.normal(0, 0.6 / reach, (8, 3, 3, 3)).astype(numbers),
        "matrix": random.normal(0, 2, (8, units)).astype(numbers),
        "bias": random.normal(0, 1, units).astype(numbers),
        "rows": np.array(rows, np.int64),
        **(constants or {}),
    }
    nodes = [
        helper.make_node("Conv", ["data", "kernel"], ["maps"]),
        helper.make_node("Relu", ["maps"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["means"]),
        helper.make_node("Reshape", ["means", "rows"], ["flat"]),
        helper.make_node("Gemm", ["flat", "matrix", "bias"], ["logits" if tail else "scores"]),
        *tail,
    ]
    return helper.make_model(
        helper.make_graph(
            nodes,
            "elsewhere",
            [helper.make_tensor_value_info("data", dtype, axes)],
            [helper.make_tensor_value_info("scores", output_dtype or dtype, output_axes)],
            [numpy_helper.from_array(value, name) for name, value in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


def channels_first(
    dtype: type[np.generic] = np.float32, *, scale: float = 1 / 255, copies: int = 1
) -> Callable[[NDArray[np.uint8]], NDArray[Any]]:
    """Return a function that makes an input of `copies` equal images, with channels first."""

    def prepare(pixels: NDArray[np.uint8]) -> NDArray[Any]:
        values = (pixels.astype(np.float32) * np.float32(scale)).astype(dtype).transpose(2, 0, 1)
        return np.repeat(np.ascontiguousarray(values)[np.newaxis], copies, axis=0)

    return prepare


def softmax(output: NDArray[Any]) -> NDArray[np.float64]:
    logits = output[0].ravel().astype(np.float64)
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum())


def first(output: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(output[0].ravel(), np.float64)


def two(output: NDArray[Any]) -> NDArray[np.float64]:
    p = float(output[0].ravel()[0])
    return np.array([1 - p, p])


def two_of_logit(output: NDArray[Any]) -> NDArray[np.float64]:
    return two(1 / (1 + np.exp(-output.astype(np.float64))))


def only_of_logit(output: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-first(output))))


def node(op_type: str, *inputs: str, **attributes: Any) -> onnx.NodeProto:
    """Return a node whose output is `scores`."""
    return helper.make_node(op_type, list(inputs) or ["logits"], ["scores"], **attributes)


def fixed_reshape(batch: int) -> onnx.ModelProto:
    """Return a graph whose batch cannot be changed: a constant shape contains it."""
    return network(axes=(batch, 3, SIDE, SIDE), output_axes=(batch, len(LABELS)), rows=(batch, 8))


def unit_axes(axes: Axes, shape: Sequence[int]) -> onnx.ModelProto:
    """Return a graph whose output has axes of the size 1."""
    return network(
        output_axes=axes, tail=[node("Reshape", "logits", "shape")], constants={"shape": np.array(shape)}
    )


def grey_row(dtype: type[np.generic]) -> Callable[[NDArray[np.uint8]], NDArray[Any]]:
    return lambda pixels: (pixels[np.newaxis, ..., 0] * np.float32(1 / 255)).astype(dtype)


def grey_rows(dtype: int = FLOAT) -> onnx.ModelProto:
    """Return a dense network on images without an axis of channels."""
    random = np.random.default_rng(2)
    nodes = [
        helper.make_node("Flatten", ["data"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"]),
    ]
    matrix = random.normal(0, 0.3, (SIDE * SIDE, len(LABELS))).astype(helper.tensor_dtype_to_np_dtype(dtype))
    return helper.make_model(
        helper.make_graph(
            nodes,
            "dense",
            [helper.make_tensor_value_info("data", dtype, ["batch", SIDE, SIDE])],
            [helper.make_tensor_value_info("scores", dtype, ["batch", len(LABELS)])],
            [numpy_helper.from_array(matrix, "matrix")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


@cache
def digits(kind: str) -> onnx.ModelProto:
    """Return a classifier of scikit-learn's 8x8 digits, converted by skl2onnx."""
    from skl2onnx import to_onnx
    from sklearn.datasets import load_digits
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pixels, classes = load_digits(return_X_y=True)
    if kind == "forest":
        forest = RandomForestClassifier(10, max_depth=6, random_state=0).fit(pixels, classes)
        trees: onnx.ModelProto = to_onnx(forest, pixels[:1].astype(np.float32), options={"zipmap": False})
        return trees
    names = np.array(["nil", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    model: onnx.ModelProto = to_onnx(linear.fit(pixels, names[classes]), pixels[:1].astype(np.float32))
    return model


def digit_row(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return (pixels.reshape(1, -1).astype(np.float32) * np.float32(16 / 255)).astype(np.float32)


def zipped(output: list[dict[Any, float]]) -> NDArray[np.float64]:
    return np.array(list(output[0].values()))


SIXTEENTHS: Final = ("--scale", "16/255")


def foreign_graphs() -> dict[str, Foreign]:
    """Return one graph of each form, by the name of its model."""
    half = (len(LABELS),)
    sigmoid = [node("Sigmoid")]
    return {
        "plain": Foreign(network(), channels_first(), softmax),
        "softmax": Foreign(network(tail=[node("Softmax")]), channels_first(), first),
        "integers": Foreign(
            network(reach=255, tail=[node("Softmax")]), channels_first(scale=1), first, options=RAW
        ),
        "half": Foreign(network(dtype=HALF), channels_first(np.float16), softmax),
        "double": Foreign(grey_rows(DOUBLE), grey_row(np.float64), first, channels=1),
        # ONNX Runtime cannot run it as it is.
        "double-convolution": Foreign(network(dtype=DOUBLE), channels_first(), softmax, runnable=network()),
        "unit-axes": Foreign(unit_axes(("batch", *half, 1, 1), (-1, *half, 1, 1)), channels_first(), softmax),
        "unit-axes-last": Foreign(
            unit_axes(("batch", 1, 1, *half), (-1, 1, 1, *half)), channels_first(), softmax
        ),
        "free-batch": Foreign(
            network(axes=(1, 3, SIDE, SIDE), output_axes=(1, len(LABELS))), channels_first(), softmax
        ),
        "batch-of-one": Foreign(fixed_reshape(1), channels_first(), softmax),
        "batch-of-five": Foreign(fixed_reshape(5), channels_first(copies=5), softmax),
        "bgr": Foreign(
            network(),
            lambda pixels: channels_first()(pixels[..., ::-1]),
            softmax,
            options=(*UNIT, "--channel-order", "bgr"),
        ),
        "independent": Foreign(network(tail=sigmoid), channels_first(), first),
        "independent-logits": Foreign(
            network(), channels_first(), only_of_logit, options=(*UNIT, "--output-kind", "sigmoid")
        ),
        "two-of-one": Foreign(
            network(units=1, output_axes=("batch", 1), tail=sigmoid),
            channels_first(),
            two,
            labels=("no", "yes"),
        ),
        "two-of-one-flat": Foreign(
            network(
                units=1,
                output_axes=("batch",),
                tail=[helper.make_node("Sigmoid", ["logits"], ["p"]), node("Reshape", "p", "shape")],
                constants={"shape": np.array([-1])},
            ),
            channels_first(),
            lambda output: two(output[:, np.newaxis]),
            labels=("no", "yes"),
        ),
        "two-of-one-logit": Foreign(
            network(units=1, output_axes=("batch", 1)), channels_first(), two_of_logit, labels=("no", "yes")
        ),
        "one-of-one": Foreign(
            network(units=1, output_axes=("batch", 1)), channels_first(), only_of_logit, labels=("yes",)
        ),
        "no-channels": Foreign(grey_rows(), grey_row(np.float32), first, channels=1),
        "sklearn-linear": Foreign(
            digits("linear"),
            digit_row,
            zipped,
            labels=None,
            output="output_probability",
            channels=1,
            options=SIXTEENTHS,
        ),
        "sklearn-forest": Foreign(
            digits("forest"),
            digit_row,
            first,
            labels=None,
            output="probabilities",
            channels=1,
            options=SIXTEENTHS,
        ),
    }
