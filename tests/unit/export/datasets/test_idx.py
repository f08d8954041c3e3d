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
def test_array_is_read_plain_and_gzipped(tmp_path: Path, compress: type[bytes]) -> None:
    path = put(tmp_path, compress(idx.encode(ARRAY)))
    np.testing.assert_array_equal(idx.read(path, axes=3), ARRAY)


def test_header_follows_the_format() -> None:
    assert idx.encode(ARRAY)[:16].hex(" ", 4) == "00000803 00000002 00000003 00000004"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "starts with nothing, expected 00 00 08 03"),
        (b"PK\x03\x04rest", "is not an IDX file of unsigned bytes with 3 axes: it starts with 50 4b 03 04"),
        (idx.encode(ARRAY[0]), "it starts with 00 00 08 02, expected 00 00 08 03"),
        (idx.encode(ARRAY)[:10], "is truncated: its header ends after 10 bytes"),
        (idx.encode(ARRAY)[:-1], "is truncated: its header states 2 x 3 x 4 values, which is 40 bytes"),
        (idx.encode(ARRAY) + b"\0", "has extra bytes: .* is 40 bytes, but it has 41"),
        (
            gzip.compress(idx.encode(ARRAY), mtime=0)[:-12],
            "is truncated: the compressed data is incomplete",
        ),
        (gzip.compress(idx.encode(ARRAY), mtime=0)[:-8] + bytes(8), "is damaged: CRC check failed"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\0" + b"\xff" * 40, "is damaged"),
    ],
)
def test_invalid_file_is_rejected_with_the_reason(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = put(tmp_path, content)
    with pytest.raises(DatasetError, match=f"^{path} .*{sentence}"):
        idx.read(path, axes=3)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nothing cannot be read: No such file or directory"):
        idx.read(tmp_path / "nothing", axes=1)


def test_huge_header_allocates_no_memory(tmp_path: Path) -> None:
    path = put(tmp_path, bytes.fromhex("00000803 ffffffff ffffffff ffffffff"))
    with pytest.raises(DatasetError, match="is truncated"):
        idx.read(path, axes=3)
