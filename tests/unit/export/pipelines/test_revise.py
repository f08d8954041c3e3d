"""The commands `revise` and `digits`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.cli.main import main
from export.datasets import synthetic_images
from export.evaluation.digit_conditions import CONDITIONS
from export.evaluation.digit_table import FILE, DigitTable
from export.repository.repository_reader import read_version
from tests.support.models.filter_model import publish_filters
from tests.support.models.gray_classifier import publish_shades
from tests.unit.export.conftest import ROOT

SHIPPED = sorted(ROOT.glob("models/*/*/" + FILE))
GUIDE = ROOT / "docs" / "how-to" / "evaluate-a-model.md"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """LeNet-5 as it was before the rule `ink`."""
    folder = tmp_path / "models" / "lenet5" / "1"
    shutil.copytree(max((ROOT / "models" / "lenet5").iterdir()), folder)
    document = json.loads((folder / "manifest.json").read_text())
    document["input"]["resize"] = "fit"
    document["version"] = "1"
    document["evaluation"] |= {"accuracy": 0.9}
    (folder / "manifest.json").write_text(json.dumps(document))
    (folder / FILE).unlink(missing_ok=True)
    return tmp_path / "models"


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Two drawn pictures of each digit."""
    pictures = synthetic_images.golden_digits(0)[:20]
    for index, picture in enumerate(pictures):
        folder = tmp_path / "digits" / str(index % 10)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture[..., 0]).save(folder / f"{index}.png")
    return tmp_path / "digits"


def run(command: str, model: str, models: Path, data: Path, *options: str | Path) -> int:
    arguments: Sequence[str | Path] = (command, model, "--models", models, "--data", data, *options)
    return main([str(argument) for argument in arguments])


def test_revised_version_has_another_rule_the_same_graph_and_a_table(
    models: Path, digits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in (models / "lenet5" / "1").iterdir()}
    assert run("revise", "lenet5", models, digits, "--resize", "ink") == 0
    assert capsys.readouterr().out.startswith(str(models / "lenet5" / "2"))
    assert {path.name: path.read_bytes() for path in (models / "lenet5" / "1").iterdir()} == before
    first, second = (read_version(models, "lenet5", version) for version in ("1", "2"))
    assert second.graph == first.graph
    np.testing.assert_array_equal(second.golden_outputs, first.golden_outputs)
    assert (first.manifest.input.resize, second.manifest.input.resize) == ("fit", "ink")
    assert second.manifest.evaluation is not None
    assert (second.manifest.evaluation.dataset, second.manifest.evaluation.examples) == ("digits", 20)
    table = DigitTable.parse(second.files()[FILE])
    assert (table.examples, table.rules) == (20, ("fit", "ink"))
    assert [result.condition for result in table.results] == list(CONDITIONS)
    small = next(result for result in table.results if result.condition.startswith("15 %"))
    assert small.accuracies[1] >= small.accuracies[0] + 0.5
    card = (second.folder / "README.md").read_text()
    assert "## Digits on paper" in card
    assert "\n".join(table.markdown()) in card


def test_digits_prints_and_writes_the_table(
    models: Path, digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = tmp_path / "table.json"
    assert run("digits", "lenet5", models, digits, "--limit", "10", "--json", written) == 0
    out = capsys.readouterr().out
    assert out.startswith("lenet5/1 on 10 digits of digits, accuracy by resize rule\n")
    assert DigitTable.parse(written.read_bytes()).examples == 10


def test_accuracy_that_drops_publishes_nothing(
    models: Path, digits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = models / "lenet5" / "1" / "manifest.json"
    document = json.loads(path.read_text())
    document["evaluation"] |= {"accuracy": 1.0}
    path.write_text(json.dumps(document))
    for index, picture in enumerate(digits.rglob("*.png")):
        if index % 4 == 0:
            Image.new("L", (28, 28)).save(picture)
    assert run("revise", "lenet5", models, digits, "--resize", "stretch") == 1
    assert "the accuracy drops from 100.00% to" in capsys.readouterr().err
    assert [path.name for path in (models / "lenet5").iterdir()] == ["1"]


def test_refusals(models: Path, digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish_shades(models)
    publish_filters(models)
    assert run("revise", "lenet5", models, digits, "--resize", "fit") == 1
    assert "lenet5/1 has the resize rule fit already" in capsys.readouterr().err
    assert run("revise", "filters", models, digits, "--resize", "crop") == 1
    assert "returns maps; only classifiers can be revised" in capsys.readouterr().err


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.parent.name)
def test_shipped_table_stands_in_the_card(path: Path) -> None:
    table = DigitTable.parse(path.read_bytes())
    assert table.examples == 2000
    assert "\n".join(table.markdown()) in (path.parent / "README.md").read_text()
    assert all(result.accuracies[1] >= 0.95 for result in table.results)


def test_shipped_tables_stand_in_the_guide() -> None:
    convnet, lenet5 = (DigitTable.parse(path.read_bytes()) for path in SHIPPED)
    guide = GUIDE.read_text()
    for first, second in zip(convnet.results, lenet5.results, strict=True):
        shares = [f"{each:.1%}" for each in (*first.accuracies, *second.accuracies)]
        assert " | ".join(["| " + first.condition, *shares]) + " |" in guide
