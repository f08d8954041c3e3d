from __future__ import annotations

from pathlib import Path

import pytest

from export.datasets.image_files import Location, Size, decode
from export.errors import DatasetError
from tests.support.images import drawn_signs

PNG = drawn_signs.png(0, 0, 200)


@pytest.mark.parametrize("content", [b"", b"no image", PNG[: len(PNG) // 2], PNG[:40]])
def test_damaged_image_is_rejected(content: bytes) -> None:
    with pytest.raises(DatasetError):
        decode(content, Size(48, 48, 3, "stretch"))


def test_location_reads_a_file_or_a_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    assert Location(path, "all").read() == b"0123456789"
    assert Location(path, "part", 2, 3).read() == b"234"
    with pytest.raises(DatasetError, match="the file is too short"):
        Location(path, "part", 8, 3).read()
    with pytest.raises(DatasetError, match="No such file"):
        Location(tmp_path / "none", "none").read()
