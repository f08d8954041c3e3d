from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.cases.inputs import COUNT, BenchmarkInputs, digits, photographs
from tests.support.models.gray_classifier import publish_shades


@pytest.mark.parametrize("side", [28, 100])
def test_digits_differ_and_have_the_given_size(side: int) -> None:
    images = digits(side)
    assert len(set(images)) == COUNT
    assert {Image.open(io.BytesIO(image)).size for image in images} == {(side, side)}


def test_missing_photographs_are_replaced_by_synthetic_scenes(tmp_path: Path) -> None:
    images, origin = photographs(tmp_path)
    assert origin == f"{COUNT} synthetic scenes"
    assert {Image.open(io.BytesIO(image)).format for image in images} == {"JPEG"}
    assert all(20_000 < len(image) < 200_000 for image in images)


def test_rows_have_the_size_of_the_model_input(tmp_path: Path) -> None:
    inputs = BenchmarkInputs.of(publish_shades(tmp_path), digits(), "")
    assert {len(row) for row in inputs.rows} == {8 * 8}
    assert inputs.name == "shades"
    assert not inputs.is_heavy
