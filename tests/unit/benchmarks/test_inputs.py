from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.cases.inputs import COUNT, Material, digits, photographs
from service.loadgen.workload.images import drawn
from tests.support.models.gray_classifier import publish_shades


@pytest.mark.parametrize("side", [28, 100])
def test_digits_differ_and_are_as_large_as_asked(side: int) -> None:
    pictures = digits(side)
    assert len(set(pictures)) == COUNT
    assert {Image.open(io.BytesIO(picture)).size for picture in pictures} == {(side, side)}


def test_photographs_are_drawn_where_there_are_none(tmp_path: Path) -> None:
    pictures, origin = photographs(tmp_path)
    assert origin == f"{COUNT} drawn scenes"
    assert {Image.open(io.BytesIO(picture)).format for picture in pictures} == {"JPEG"}
    assert all(20_000 < len(picture) < 200_000 for picture in pictures)


def test_rows_are_what_the_model_takes(tmp_path: Path) -> None:
    material = Material.of(publish_shades(tmp_path), digits(), "")
    assert {len(row) for row in material.rows} == {8 * 8}
    assert material.name == "shades"
    assert not material.is_heavy


@pytest.mark.parametrize("side", [1, 2, 28, 227])
def test_the_picture_drawn_without_a_library_can_be_read(side: int) -> None:
    with Image.open(io.BytesIO(drawn(side))) as picture:
        picture.load()
        assert (picture.size, picture.mode) == ((side, side), "L")
