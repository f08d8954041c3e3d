"""The commands `evaluate` and `robustness`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from export.cli.main import main
from export.evaluation.robustness import FILE, Robustness
from export.repository.repository_reader import read_version
from tests.support.models.filter_model import publish_filters
from tests.support.models.gray_classifier import LABELS, image, level, publish_shades
from tests.support.models.shifted_shades import shifted_graph


@pytest.fixture
def models(tmp_path: Path) -> Path:
    publish_shades(tmp_path / "models")
    return tmp_path / "models"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two images of each shade; the second image of shade 3 is in the folder of shade 4."""
    folder = tmp_path / "shades"
    for shade, label in enumerate(LABELS):
        for number in range(2):
            place = LABELS[4] if (shade, number) == (3, 1) else label
            (folder / place).mkdir(parents=True, exist_ok=True)
            (folder / place / f"{shade}-{number}.png").write_bytes(image(level(shade), side=20 + number))
    return folder


def run(command: str, model: str, models: Path, data: Path, *options: str | Path) -> int:
    return main([command, model, "--models", str(models), "--data", str(data), *map(str, options)])


def test_report_counts_each_class_and_confusion(
    models: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("evaluate", "shades", models, data) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "shades/1 on shades, 20 images"
    assert lines[2].split()[:2] == ["accuracy", "95.00%"]
    rows = {tuple(line.split()[:2]): line.split()[2:] for line in lines if line.startswith("  shade")}
    assert rows["shade", "3"] == ["1", "1", "100.00%", "50.00%"]
    assert rows["shade", "4"] == ["3", "2", "66.67%", "100.00%"]
    assert lines[-1].split() == ["1", "shade", "4", "→", "shade", "3"]
    assert not (models / "shades" / "2").exists()


def test_json_lists_every_mistake_and_the_plot_is_a_picture(models: Path, data: Path, tmp_path: Path) -> None:
    report, plot = tmp_path / "report.json", tmp_path / "plot.png"
    assert run("evaluate", "shades/1", models, data, "--json", report, "--plot", plot) == 0
    document: Any = json.loads(report.read_text())
    assert (document["model"], document["examples"], document["accuracy"]) == ("shades/1", 20, 0.95)
    assert document["accuracy_interval"]["low"] < 0.95 < document["accuracy_interval"]["high"]
    (mistake,) = document["mistakes"]
    assert (mistake["image"], mistake["label"], mistake["predicted"]) == (
        f"{LABELS[4]}/3-1.png",
        LABELS[4],
        LABELS[3],
    )
    assert document["confusion"][4][3] == 1
    assert sum(each["examples"] for each in document["classes"]) == 20
    with Image.open(plot) as opened:
        assert opened.format == "PNG"
        assert opened.width > opened.height


def test_compared_version_names_the_images_that_flipped(
    models: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_shades(models, onnx_graph=shifted_graph())
    report = tmp_path / "report.json"
    assert run("evaluate", "shades/2", models, data, "--compare", "1", "--json", report) == 0
    out = capsys.readouterr().out
    assert "shades/1 → shades/2: accuracy 95.00% → 5.00%; 20 of 20 images flipped" in out
    assert "now right: 1\n  shade 4/3-1.png: shade 4, predicted shade 3 → shade 4" in out
    assert "now wrong: 19" in out
    flips = json.loads(report.read_text())["compared_with"]["flips"]
    assert len(flips) == 20


def test_published_report_is_the_next_version_of_the_same_graph(
    models: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in (models / "shades" / "1").iterdir()}
    assert run("evaluate", "shades", models, data, "--publish") == 0
    assert capsys.readouterr().out.startswith(str(models / "shades" / "2"))
    assert {path.name: path.read_bytes() for path in (models / "shades" / "1").iterdir()} == before
    first, second = (read_version(models, "shades", version) for version in ("1", "2"))
    assert second.graph == first.graph
    np.testing.assert_array_equal(second.golden_outputs, first.golden_outputs)
    assert second.manifest.evaluation is not None
    assert (second.manifest.evaluation.dataset, second.manifest.evaluation.accuracy) == ("shades", 0.95)
    assert second.files()["example.png"] == first.files()["example.png"]
    card = (second.folder / "README.md").read_text()
    assert "| accuracy | 95.00% on the 20 test images of shades |" in card
    for picture in ("example.png", "confusion.png", "reliability.png"):
        assert f"]({picture})" in card
        assert (second.folder / picture).stat().st_size > 0


def test_robustness_stands_in_the_card_of_the_next_versions(
    models: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("robustness", "shades", models, data, "--publish") == 0
    assert run("evaluate", "shades", models, data, "--publish") == 0
    third = read_version(models, "shades", "3")
    found = Robustness.parse(third.files()[FILE])
    assert (found.dataset, found.examples) == ("shades", 20)
    accuracies = {result.condition: result.accuracy for result in found.results}
    assert accuracies["unchanged"] == 0.95
    assert accuracies["shifted by 15 % of both sides"] == 0.95  # the images are uniform
    assert accuracies["20 % of the area covered"] < 0.7
    card = (third.folder / "README.md").read_text()
    assert "| unchanged | 95.0% |" in card
    assert "| 20 % of the area covered |" in card


def test_robustness_prints_its_table(models: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("robustness", "shades", models, data, "--limit", "10") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("shades/1 on shades, 10 images\n")
    assert "  JPEG of quality 20 " in captured.out
    assert captured.err == "10 of 10 images\n"


def test_unreadable_images_are_named_and_left_out(
    models: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / LABELS[0] / "broken.png").write_bytes(b"no image")
    assert run("evaluate", "shades", models, data) == 0
    out = capsys.readouterr().out
    assert "1 images cannot be read, such as shade 0/broken.png (not an image)" in out
    assert "shades/1 on shades, 20 images" in out


@pytest.mark.parametrize("command", ["evaluate", "robustness"])
def test_maps_cannot_be_evaluated(
    tmp_path: Path, data: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_filters(tmp_path / "models")
    assert run(command, "filters", tmp_path / "models", data) == 1
    assert "returns maps; only classifiers can be evaluated" in capsys.readouterr().err


@pytest.mark.parametrize("model", ["", "shades/", "shades/x", "shades/1/2"])
def test_malformed_model_is_a_usage_error(models: Path, data: Path, model: str) -> None:
    with pytest.raises(SystemExit) as raised:
        run("evaluate", model, models, data)
    assert raised.value.code == 2
