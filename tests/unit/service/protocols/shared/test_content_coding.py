from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidInput, PayloadTooLarge, UnsupportedContent
from service.protocols.shared.content_coding import MIN_COMPRESSED_BYTES, compress, decompress

LIMIT = 1000


@given(st.binary(max_size=LIMIT))
def test_compression_round_trips(data: bytes) -> None:
    assert decompress(gzip.compress(data), "gzip", LIMIT) == data
    assert decompress(gzip.compress(data), " X-GZIP ", LIMIT) == data
    assert decompress(zlib.compress(data), "deflate", LIMIT) == data


@pytest.mark.parametrize("coding", ["", "identity", " Identity "])
def test_uncompressed_body_is_unchanged(coding: str) -> None:
    assert decompress(b"plain", coding, LIMIT) == b"plain"


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "deflate, gzip", "x"])
def test_unsupported_codings_are_rejected(coding: str) -> None:
    with pytest.raises(UnsupportedContent, match=f"Content-Encoding '{coding}' is not supported; send gzip"):
        decompress(b"", coding, LIMIT)


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate"]))
def test_only_input_errors_are_raised(data: bytes, coding: str) -> None:
    broken = (data, gzip.compress(b"abc")[:-1], gzip.compress(b"abc") + data + b"x", zlib.compress(b"")[:-1])
    for body in broken:
        with pytest.raises(InvalidInput):
            decompress(body, coding, LIMIT)


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_limit_applies_to_the_decompressed_body(coding: str, pack: Callable[[bytes], bytes]) -> None:
    assert len(decompress(pack(bytes(LIMIT)), coding, LIMIT)) == LIMIT
    with pytest.raises(PayloadTooLarge, match="decompressed body is larger than 1000 bytes"):
        decompress(pack(bytes(LIMIT + 1)), coding, LIMIT)


@pytest.mark.measures
def test_compression_bomb_is_not_expanded() -> None:
    bomb = zlib.compress(bytes(100_000_000), level=1)
    tracemalloc.start()
    try:
        with pytest.raises(PayloadTooLarge):
            decompress(bomb, "deflate", LIMIT)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


LARGE = bytes(range(256)) * (MIN_COMPRESSED_BYTES // 256)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br", "gzip"),
        ("br, DEFLATE", "deflate"),
        ("gzip;q=1.0, deflate", "gzip"),
        ("gzip;q=0, deflate", "deflate"),
        ("gzip; Q=0.000", None),
        ("gzip;q=0.001", "gzip"),
        ("br", None),
        ("identity", None),
        ("*", None),
        ("", None),
        (",;,=;q", None),
    ],
)
def test_large_response_uses_the_first_supported_coding(accepted: str, coding: str | None) -> None:
    body, name = compress(LARGE, accepted)
    assert name == coding
    assert (body if name is None else decompress(body, name, len(LARGE))) == LARGE


def test_small_response_is_not_compressed() -> None:
    assert compress(LARGE[:-1], "gzip") == (LARGE[:-1], None)
