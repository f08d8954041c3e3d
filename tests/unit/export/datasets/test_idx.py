from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from export.datasets import idx
from export.errors import DatasetError

ARRAY = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


def put(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "file"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_an_array_comes_back_plain_and_gzipped(tmp_path: Path, compress: type[bytes]) -> None:
    path = put(tmp_path, compress(idx.encode(ARRAY)))
    np.testing.assert_array_equal(idx.read(path, axes=3), ARRAY)


def test_the_header_is_that_of_the_format() -> None:
    assert idx.encode(ARRAY)[:16].hex(" ", 4) == "00000803 00000002 00000003 00000004"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "begins with nothing, not with 00 00 08 03"),
        (b"PK\x03\x04rest", "is not an IDX file of unsigned bytes with 3 axes: it begins with 50 4b 03 04"),
        (idx.encode(ARRAY[0]), "it begins with 00 00 08 02, not with 00 00 08 03"),
        (idx.encode(ARRAY)[:10], "is truncated: it ends within its header, after 10 bytes"),
        (idx.encode(ARRAY)[:-1], "is truncated: its header announces 2 x 3 x 4 values, which makes 40 bytes"),
        (idx.encode(ARRAY) + b"\0", "has bytes left over: .* makes 40 bytes, and it has 41"),
        (
            gzip.compress(idx.encode(ARRAY), mtime=0)[:-12],
            "is truncated: its compressed content ends too early",
        ),
        (gzip.compress(idx.encode(ARRAY), mtime=0)[:-8] + bytes(8), "is damaged: CRC check failed"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\0" + b"\xff" * 40, "is damaged"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = put(tmp_path, content)
    with pytest.raises(DatasetError, match=f"^{path} .*{sentence}"):
        idx.read(path, axes=3)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nothing cannot be read: No such file or directory"):
        idx.read(tmp_path / "nothing", axes=1)


def test_a_header_that_announces_more_than_fits_in_memory_is_only_compared(tmp_path: Path) -> None:
    path = put(tmp_path, bytes.fromhex("00000803 ffffffff ffffffff ffffffff"))
    with pytest.raises(DatasetError, match="is truncated"):
        idx.read(path, axes=3)
