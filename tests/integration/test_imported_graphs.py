"""Graphs in the forms of other tools: imported by the command and served, with the scores that they had."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.cli.main import main
from export.graph.preprocessing import preprocess
from export.repository.repository_reader import read_version
from tests.support.clients.all_dialects import ask_all
from tests.support.models.foreign_graphs import Foreign, foreign_graphs
from tests.support.server.server_process import FREE_GRPC_PORT, ServerProcess

GRAPHS = foreign_graphs()
# The largest difference of a score; a graph in 16 bits rounds to its own steps.
TOLERANCES = {"half": 5e-3}


def import_graph(name: str, foreign: Foreign, folder: Path, models: Path) -> None:
    (folder / name).mkdir()
    onnx.save(foreign.model, folder / name / "network.onnx")
    arguments = [str(folder / name / "network.onnx"), "--name", name, "--models", str(models)]
    if foreign.labels is not None:
        (folder / name / "labels.txt").write_text("\n".join(foreign.labels))
        arguments += ["--labels", str(folder / name / "labels.txt")]
    assert main(["import", *arguments, *foreign.options]) == 0


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("foreign")
    for name, foreign in GRAPHS.items():
        import_graph(name, foreign, folder, folder / "models")
    return folder / "models"


@pytest.fixture(scope="module")
def serving(models: Path) -> Iterator[ServerProcess]:
    with ServerProcess(models, *FREE_GRPC_PORT) as server:
        yield server


@pytest.mark.parametrize("name", GRAPHS)
def test_server_gives_the_scores_of_the_graph_in_every_dialect(
    serving: ServerProcess, models: Path, name: str
) -> None:
    foreign = GRAPHS[name]
    pixels = foreign.image()
    expected = foreign.probabilities(pixels)
    assert np.ptp(expected) > 0.01 or len(expected) == 1, "the case tells nothing"
    manifest = read_version(models, name).manifest
    answers = ask_all(serving, name, pixels, preprocess(pixels[np.newaxis], manifest.input)[0])
    tolerance = TOLERANCES.get(name, 1e-4)
    dialects = ["native"] if manifest.output.kind == "logits" else list(answers.scores)
    for dialect in dialects:
        np.testing.assert_allclose(answers.scores[dialect], expected, atol=tolerance, err_msg=dialect)
    order = [manifest.labels[index] for index in np.argsort(-expected)]
    for dialect, ranked in answers.ranked.items():
        assert [label for label, _ in ranked] == order[: len(ranked)], dialect


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("plain", "logits"),
        ("softmax", "probabilities"),
        ("independent", "sigmoid"),
        ("independent-logits", "sigmoid"),
        ("two-of-one", "probabilities"),
        ("two-of-one-flat", "probabilities"),
        ("two-of-one-logit", "probabilities"),
        ("one-of-one", "sigmoid"),
        ("sklearn-linear", "probabilities"),
        ("sklearn-forest", "probabilities"),
    ],
)
def test_kind_is_told_by_the_graph(models: Path, name: str, kind: str) -> None:
    assert read_version(models, name).manifest.output.kind == kind


@pytest.mark.parametrize(
    ("name", "size"), [("plain", 16), ("free-batch", 16), ("batch-of-one", 1), ("batch-of-five", 5)]
)
def test_fixed_batch_is_freed_or_padded(models: Path, name: str, size: int) -> None:
    assert read_version(models, name).manifest.max_batch_size == size


def test_classes_of_scikit_learn_are_the_labels(models: Path) -> None:
    # scikit-learn sorts its classes.
    names = ("eight", "five", "four", "nil", "nine", "one", "seven", "six", "three", "two")
    assert read_version(models, "sklearn-linear").manifest.labels == names
    assert read_version(models, "sklearn-forest").manifest.labels == tuple("0123456789")


def test_rows_of_scikit_learn_are_square_images(models: Path) -> None:
    spec = read_version(models, "sklearn-linear").manifest.input
    assert (spec.height, spec.width, spec.channels, spec.layout) == (8, 8, 1, "NHWC")
