"""Independent classes, and labels that occur twice, in every dialect of a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.repository.manifest import Evaluation, InputSpec, Manifest, OutputSpec
from export.repository.publish import publish
from tests.support.clients.all_dialects import Answers, ask_all
from tests.support.http.client import get
from tests.support.models.linear_model import HEIGHT, LABELS, WIDTH, Linear
from tests.support.server.metrics_page import MetricsPage
from tests.support.server.server_process import FREE_GRPC_PORT, ServerProcess

SPEC = InputSpec("pixels", "uint8", "NHWC", HEIGHT, WIDTH, 3, "fit")
SIGMOID = Linear(SPEC, "sigmoid")
PIXELS = np.random.default_rng(6).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
DUPLICATES = ("crane", "maillot", "crane", "maillot", "frog")
# The second maillot is sure, the first one is not.
SCORES = np.array([0.01, 0.0, 0.02, 0.96, 0.01], np.float32)


def publish_duplicates(models: Path) -> None:
    """Publishes a model that returns SCORES for every image."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["floats"], ["flat"]),
        helper.make_node("MatMul", ["flat", "zeros"], ["nothing"]),
        helper.make_node("Add", ["nothing", "scores"], ["probabilities"]),
    ]
    zeros = np.zeros((HEIGHT * WIDTH * 3, len(SCORES)), np.float32)
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "duplicates",
            [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", *SPEC.shape()])],
            [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", len(SCORES)])],
            [numpy_helper.from_array(zeros, "zeros"), numpy_helper.from_array(SCORES, "scores")],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    manifest = Manifest(
        name="duplicates",
        description="Two classes have the same label, twice.",
        input=SPEC,
        output=OutputSpec("probabilities", "probabilities"),
        labels=DUPLICATES,
        max_batch_size=4,
        opset=18,
        parameters=0,
        tolerance=1e-6,
        evaluation=Evaluation("nothing", 10, 1.0, 1.0, 0.0, predicted=(1, 2, 3, 4, 0)),
    )
    publish(models, manifest, model.SerializeToString(), PIXELS[np.newaxis], SCORES[np.newaxis])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    models = tmp_path_factory.mktemp("kinds")
    SIGMOID.publish(models)
    publish_duplicates(models)
    with ServerProcess(models, *FREE_GRPC_PORT) as server:
        yield server


@pytest.fixture(scope="module")
def independent(both: ServerProcess) -> Answers:
    return ask_all(both, "linear", PIXELS, PIXELS)


@pytest.fixture(scope="module")
def duplicated(both: ServerProcess) -> Answers:
    return ask_all(both, "duplicates", PIXELS, PIXELS)


def test_independent_classes_have_their_own_scores_in_every_dialect(independent: Answers) -> None:
    expected = SIGMOID.probabilities(PIXELS)
    assert abs(expected.sum() - 1) > 0.1
    for dialect, scores in independent.scores.items():
        np.testing.assert_allclose(scores, expected, atol=1e-5, err_msg=dialect)
    best_first = [LABELS[index] for index in np.argsort(-expected)]
    for dialect, ranked in independent.ranked.items():
        assert [label for label, _ in ranked] == best_first, dialect
        np.testing.assert_allclose([s for _, s in ranked], -np.sort(-expected), atol=1e-5, err_msg=dialect)


def test_kind_is_described(both: ServerProcess) -> None:
    (model,) = get(f"{both.url}/models/linear").json["versions"]
    assert model["output"] == {"name": "sigmoid", "kind": "sigmoid"}


def test_duplicate_labels_keep_their_classes_apart(duplicated: Answers) -> None:
    for dialect, scores in duplicated.scores.items():
        np.testing.assert_allclose(scores, SCORES, atol=1e-6, err_msg=dialect)
    for dialect, ranked in duplicated.ranked.items():
        if dialect != "TorchServe":
            order = ["maillot", "crane", "crane", "frog", "maillot"]
            assert [label for label, _ in ranked] == order, dialect


def test_torchserve_keeps_the_best_class_of_a_label(duplicated: Answers) -> None:
    ranked = duplicated.ranked["TorchServe"]
    assert [label for label, _ in ranked] == ["maillot", "crane", "frog"]
    np.testing.assert_allclose([score for _, score in ranked], [0.96, 0.02, 0.01], atol=1e-6)


def test_metrics_sum_the_classes_of_a_label(both: ServerProcess, duplicated: Answers) -> None:
    page = MetricsPage.scrape(both.url)
    labels = {"model": "duplicates", "version": "1"}
    shares = {
        label: page.total("convserve_evaluation_predictions_ratio", **labels, label=label)
        for label in set(DUPLICATES)
    }
    assert shares == {"crane": 0.4, "maillot": 0.6, "frog": 0.0}
    assert page.total("convserve_predictions_total", **labels, label="maillot") >= 5
