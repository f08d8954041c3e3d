"""Output of `convserve explain` and `convserve faithfulness`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from PIL import Image

from tests.support.models.shipped import highest_version
from tests.support.server.server_process import convserve

QUIET = ("--log-level", "warning")


def test_explain_prints_a_sentence_and_writes_the_map(tmp_path: Path) -> None:
    image = highest_version("lenet5") / "example.png"
    output = tmp_path / "out.png"
    result = convserve("explain", *QUIET, "--model", "lenet5", image, "-o", output)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{image}: 7, by ")
    with Image.open(output) as picture:
        assert picture.size == (448, 448)


def test_explain_names_the_fault(tmp_path: Path) -> None:
    result = convserve("explain", *QUIET, tmp_path / "missing.png")
    assert result.returncode == 1
    assert result.stderr.endswith("missing.png: No such file or directory\n")


def test_faithfulness_writes_figures(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    shutil.copy(highest_version("convnet") / "example.png", tmp_path / "images")
    figures = tmp_path / "figures.json"
    result = convserve("faithfulness", *QUIET, "--model", "convnet", tmp_path / "images", "-o", figures)
    assert result.returncode == 0, result.stderr
    methods = json.loads(figures.read_text())["methods"]
    assert methods["occlusion"]["images"] == 1
    assert methods["occlusion"]["insertion"] > methods["occlusion"]["random"]["insertion"]
