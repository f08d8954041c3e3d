"""Determines the kind of scores that a graph returns: probabilities, logits, or independent probabilities.

The last operator tells it, and the values may contradict. Where neither tells, the user has to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

from ..errors import ManifestError, UsageError, VerificationError
from .options import ScoreKind

_SUM_TOLERANCE: Final = 1e-3
_MAX_DEPTH: Final = 50

_BY_OPERATOR: Final[Mapping[str, ScoreKind]] = {
    "Softmax": "probabilities",
    "LogSoftmax": "logits",
    "Sigmoid": "sigmoid",
    "HardSigmoid": "sigmoid",
    "Gemm": "logits",
    "MatMul": "logits",
    "MatMulInteger": "logits",
    "QLinearMatMul": "logits",
    "Conv": "logits",
    "QLinearConv": "logits",
}
# Operators that keep the kind of their first input.
_SAME_KIND: Final = frozenset(
    {
        "Identity", "Cast", "Dropout", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose",
        "QuantizeLinear", "DequantizeLinear",
        "GlobalAveragePool", "AveragePool", "ReduceMean", "Relu", "BatchNormalization",
    }
)  # fmt: skip
# Operators that keep the kind of all their inputs, except constants: a bias, a temperature, an average.
_COMBINING: Final = frozenset({"Add", "Sub", "Mul", "Div", "Sum", "Mean"})


@dataclass(frozen=True)
class ScorePlan:
    """The output of the fitted graph.

    Attributes:
        kind: what it returns.
        sigmoid: True if a sigmoid is applied to what the graph returns.
        complement: True if the graph returns p of one class, and 1 - p is added for the other.
    """

    kind: ScoreKind
    sigmoid: bool = False
    complement: bool = False

    def apply(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute the output of the fitted graph from the scores of the original one."""
        values = scores.astype(np.float64)
        if self.sigmoid:
            values = 1 / (1 + np.exp(-values))
        if self.complement:
            values = np.concatenate([1 - values, values], axis=1)
        return values.astype(np.float32)

    def describe(self) -> str | None:
        """Return one sentence about the operators that are added, or None."""
        added = []
        if self.sigmoid:
            added.append("a sigmoid is applied to the logits")
        if self.complement:
            added.append("the single score p becomes [1 - p, p] for the two labels")
        return " and ".join(added) or None


def plan_scores(
    model: onnx.ModelProto, scores: NDArray[np.float32], labels: int, chosen: ScoreKind | None
) -> ScorePlan:
    """Work out the kind of the output from the graph and its scores for test images.

    Args:
        model: the graph, with one output.
        scores: [images, classes].
        labels: the number of labels.
        chosen: the kind that the user states.

    Raises:
        VerificationError: the scores contradict the last operator.
        ManifestError: they contradict the user.
        UsageError: neither the operator nor the scores tell the kind.
    """
    by_operator = kind_by_operator(model)
    single = scores.shape[1] == 1
    if single and by_operator == "probabilities":
        raise VerificationError(
            "the graph ends in a softmax over a single unit, which is always 1; "
            "export the network with a sigmoid instead"
        )
    if chosen is None:
        kind, sigmoid = _inferred(by_operator, scores), False
    else:
        kind, sigmoid = chosen, _check_chosen(by_operator, scores, chosen)
    if not single:
        return ScorePlan(kind, sigmoid=sigmoid)
    sigmoid = sigmoid or kind == "logits"
    return ScorePlan("sigmoid" if labels == 1 else "probabilities", sigmoid=sigmoid, complement=labels == 2)


def _inferred(by_operator: ScoreKind | None, scores: NDArray[np.float32]) -> ScoreKind:
    by_values = kind_by_values(scores)
    if by_operator is None:
        if by_values is None:
            raise UsageError(
                "neither the last operator of the graph nor its scores tell what they are (from "
                f"{scores.min():.3g} to {scores.max():.3g}); set --output-kind to logits (the server applies "
                "a softmax), probabilities (they sum to 1) or sigmoid (independent classes)"
            )
        return by_values
    if not _possible(by_operator, scores) or (by_operator == "logits" and by_values == "probabilities"):
        raise VerificationError(
            f"the last operator of the graph returns {by_operator}, but its rows of scores from "
            f"{scores.min():.3g} to {scores.max():.3g} sum to {_sums(scores)}; set --output-kind if that is "
            "right"
        )
    return by_operator


def _check_chosen(by_operator: ScoreKind | None, scores: NDArray[np.float32], chosen: ScoreKind) -> bool:
    """Check what the user states; returns True if a sigmoid has to be applied."""
    if chosen == "sigmoid" and (by_operator == "logits" or not _possible("sigmoid", scores)):
        return True
    if not _possible(chosen, scores):
        raise ManifestError(
            f"the graph does not return probabilities: they sum to {_sums(scores)}; "
            "set --output-kind to logits or sigmoid"
        )
    if by_operator == "probabilities" != chosen and _possible("probabilities", scores):
        raise ManifestError(f"the graph returns probabilities of a softmax, not {chosen}")
    if by_operator == "sigmoid" and chosen == "logits":
        raise ManifestError("the graph returns the values of a sigmoid, not logits")
    return False


def kind_by_operator(model: onnx.ModelProto) -> ScoreKind | None:
    """Return the kind that the last operator tells, or None."""
    producers = {name: node for node in model.graph.node for name in node.output}
    constants = {tensor.name for tensor in model.graph.initializer}
    return _kind_of(model.graph.output[0].name, producers, constants, _MAX_DEPTH)


def _kind_of(
    value: str, producers: Mapping[str, onnx.NodeProto], constants: set[str], depth: int
) -> ScoreKind | None:
    node = producers.get(value)
    if node is None or node.domain not in ("", "ai.onnx") or not depth:
        return None
    if node.op_type in _SAME_KIND:
        return _kind_of(node.input[0], producers, constants, depth - 1)
    if node.op_type == "Log":
        inner = _kind_of(node.input[0], producers, constants, depth - 1)
        return "logits" if inner == "probabilities" else None
    if node.op_type not in _COMBINING:
        return _BY_OPERATOR.get(node.op_type)
    kinds = {
        _kind_of(name, producers, constants, depth - 1)
        for name in node.input
        if name not in constants and not _is_constant(producers.get(name))
    }
    return kinds.pop() if len(kinds) == 1 else None


def _is_constant(node: onnx.NodeProto | None) -> bool:
    return node is not None and node.op_type == "Constant"


def kind_by_values(scores: NDArray[np.float32]) -> ScoreKind | None:
    """Return the kind that scores tell, or None; scores within 0 and 1 can be of several kinds."""
    if scores.shape[1] > 1 and _possible("probabilities", scores):
        return "probabilities"
    return "logits" if scores.min() < 0 else None


def _possible(kind: ScoreKind, scores: NDArray[np.float32]) -> bool:
    if kind == "logits":
        return True
    within = bool(scores.min() >= 0 and scores.max() <= 1 + _SUM_TOLERANCE)
    if kind == "sigmoid" or scores.shape[1] == 1:
        return within
    return within and np.allclose(scores.sum(axis=1), 1, atol=_SUM_TOLERANCE)


def _sums(scores: NDArray[np.float32]) -> str:
    sums = scores.sum(axis=1)
    return f"{sums.min():.3g} to {sums.max():.3g}"
