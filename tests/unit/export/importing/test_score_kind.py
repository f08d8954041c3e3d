"""The kind of scores: told by the last operator, contradicted only by values, or asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.errors import ExportError, ManifestError, UsageError, VerificationError
from export.importing.options import ScoreKind
from export.importing.score_kind import ScorePlan, kind_by_operator, plan_scores
from tests.support.models.foreign_graphs import network, node

PROBABILITIES = np.array([[0.2, 0.5, 0.3], [1, 0, 0]], np.float32)
INDEPENDENT = np.array([[0.2, 0.9, 0.8], [0.1, 0, 0]], np.float32)
LOGITS = np.array([[-3, 2, 0], [5, 1, 1]], np.float32)
POSITIVE = np.array([[3, 2, 0], [50, 1, 1]], np.float32)


def chain(*operators: str) -> onnx.ModelProto:
    """Return a graph of these operators, one after the other."""
    values = ["data", *(f"v{index}" for index in range(len(operators) - 1)), "scores"]
    nodes = []
    for index, operator in enumerate(operators):
        constants = ["two"] if operator in ("Mul", "Div", "Add", "Sub", "MatMul", "Pow") else []
        nodes.append(helper.make_node(operator, [values[index], *constants], [values[index + 1]]))
    return graph(nodes)


def graph(nodes: Sequence[onnx.NodeProto]) -> onnx.ModelProto:
    value = helper.make_tensor_value_info
    return helper.make_model(
        helper.make_graph(
            nodes,
            "chain",
            [value("data", TensorProto.FLOAT, ["batch", 3])],
            [value("scores", TensorProto.FLOAT, ["batch", 3])],
            [numpy_helper.from_array(np.array(2, np.float32), "two")],
        )
    )


@pytest.mark.parametrize(
    ("operators", "kind"),
    [
        (["MatMul"], "logits"),
        (["MatMul", "Add"], "logits"),
        (["MatMul", "Add", "Identity", "Div"], "logits"),
        (["MatMul", "Relu"], "logits"),
        (["MatMul", "Softmax"], "probabilities"),
        (["MatMul", "Softmax", "Identity"], "probabilities"),
        (["MatMul", "LogSoftmax"], "logits"),
        (["MatMul", "Softmax", "Log"], "logits"),
        (["MatMul", "Sigmoid"], "sigmoid"),
        (["MatMul", "Sigmoid", "Softmax"], "probabilities"),
        (["MatMul", "Exp"], None),
        (["MatMul", "Sigmoid", "Log"], None),
        (["Relu"], None),
    ],
)
def test_last_operator_tells_the_kind(operators: Sequence[str], kind: ScoreKind | None) -> None:
    assert kind_by_operator(chain(*operators)) == kind


def test_sum_has_the_kind_of_its_parts() -> None:
    def two(first: str, second: str) -> onnx.ModelProto:
        return graph(
            [
                helper.make_node(first, ["data"], ["a"]),
                helper.make_node(second, ["data"], ["b"]),
                helper.make_node("Sum", ["a", "b"], ["both"]),
                helper.make_node("Div", ["both", "two"], ["scores"]),
            ]
        )

    assert kind_by_operator(two("Softmax", "Softmax")) == "probabilities"
    assert kind_by_operator(two("Softmax", "Sigmoid")) is None


@pytest.mark.parametrize(
    ("operators", "scores", "chosen", "plan"),
    [
        (["MatMul"], LOGITS, None, ScorePlan("logits")),
        (["MatMul"], POSITIVE, None, ScorePlan("logits")),
        (["MatMul"], INDEPENDENT, None, ScorePlan("logits")),
        (["Exp"], PROBABILITIES, None, ScorePlan("probabilities")),
        (["Exp"], LOGITS, None, ScorePlan("logits")),
        (["Exp"], POSITIVE, "logits", ScorePlan("logits")),
        (["Exp"], INDEPENDENT, "sigmoid", ScorePlan("sigmoid")),
        (["Exp"], INDEPENDENT, "logits", ScorePlan("logits")),
        (["MatMul"], LOGITS, "sigmoid", ScorePlan("sigmoid", sigmoid=True)),
        (["MatMul"], INDEPENDENT, "sigmoid", ScorePlan("sigmoid", sigmoid=True)),
        (["Exp"], LOGITS, "sigmoid", ScorePlan("sigmoid", sigmoid=True)),
        (["Sigmoid"], INDEPENDENT, "sigmoid", ScorePlan("sigmoid")),
    ],
)
def test_kind_of_several_classes(
    operators: Sequence[str], scores: NDArray[np.float32], chosen: ScoreKind | None, plan: ScorePlan
) -> None:
    assert plan_scores(chain(*operators), scores, 3, chosen) == plan


@pytest.mark.parametrize(
    ("operators", "scores", "chosen", "error", "words"),
    [
        (["Exp"], INDEPENDENT, None, UsageError, "set --output-kind to logits"),
        (["Exp"], POSITIVE, None, UsageError, r"\(from 0 to 50\)"),
        (["Softmax"], INDEPENDENT, None, VerificationError, "returns probabilities, but"),
        (["Sigmoid"], POSITIVE, None, VerificationError, "returns sigmoid, but"),
        (["MatMul"], PROBABILITIES, None, VerificationError, "set --output-kind if that is right"),
        (["Exp"], LOGITS, "probabilities", ManifestError, "does not return probabilities"),
        (["Softmax"], PROBABILITIES, "logits", ManifestError, "returns probabilities of a softmax, not"),
        (["Softmax"], PROBABILITIES, "sigmoid", ManifestError, "returns probabilities of a softmax, not"),
        (["Sigmoid"], INDEPENDENT, "logits", ManifestError, "values of a sigmoid, not logits"),
    ],
)
def test_contradiction_and_doubt_are_refused(
    operators: Sequence[str],
    scores: NDArray[np.float32],
    chosen: ScoreKind | None,
    error: type[ExportError],
    words: str,
) -> None:
    with pytest.raises(error, match=words):
        plan_scores(chain(*operators), scores, 3, chosen)


ONE = np.array([[0.2], [0.9]], np.float32)
ONE_LOGIT = np.array([[-2], [4]], np.float32)


@pytest.mark.parametrize(
    ("operators", "scores", "labels", "plan"),
    [
        (["Sigmoid"], ONE, 1, ScorePlan("sigmoid")),
        (["Sigmoid"], ONE, 2, ScorePlan("probabilities", complement=True)),
        (["MatMul"], ONE_LOGIT, 1, ScorePlan("sigmoid", sigmoid=True)),
        (["MatMul"], ONE_LOGIT, 2, ScorePlan("probabilities", sigmoid=True, complement=True)),
    ],
)
def test_single_score_never_gets_a_softmax(
    operators: Sequence[str], scores: NDArray[np.float32], labels: int, plan: ScorePlan
) -> None:
    assert plan_scores(chain(*operators), scores, labels, None) == plan
    found = plan.apply(scores)
    assert found.shape == (2, labels)
    assert found[1, -1] > 0.5 > found[0, -1]


def test_softmax_over_one_unit_is_refused() -> None:
    model = network(units=1, output_axes=("batch", 1), tail=[node("Softmax")])
    with pytest.raises(VerificationError, match="a softmax over a single unit, which is always 1"):
        plan_scores(model, np.ones((4, 1), np.float32), 2, None)
