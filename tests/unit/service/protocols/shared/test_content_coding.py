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
def test_what_was_compressed_comes_out_as_it_went_in(data: bytes) -> None:
    assert decompress(gzip.compress(data), "gzip", LIMIT) == data
    assert decompress(gzip.compress(data), " X-GZIP ", LIMIT) == data
    assert decompress(zlib.compress(data), "deflate", LIMIT) == data


@pytest.mark.parametrize("coding", ["", "identity", " Identity "])
def test_a_plain_body_stays_as_it_is(coding: str) -> None:
    assert decompress(b"plain", coding, LIMIT) == b"plain"


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "deflate, gzip", "x"])
def test_another_coding_is_named_and_refused(coding: str) -> None:
    with pytest.raises(UnsupportedContent, match=f"Content-Encoding '{coding}' is not supported; send gzip"):
        decompress(b"", coding, LIMIT)


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate"]))
def test_nothing_but_an_input_error_is_ever_raised(data: bytes, coding: str) -> None:
    broken = (data, gzip.compress(b"abc")[:-1], gzip.compress(b"abc") + data + b"x", zlib.compress(b"")[:-1])
    for body in broken:
        with pytest.raises(InvalidInput):
            decompress(body, coding, LIMIT)


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_the_limit_is_that_of_what_comes_out(coding: str, pack: Callable[[bytes], bytes]) -> None:
    assert len(decompress(pack(bytes(LIMIT)), coding, LIMIT)) == LIMIT
    with pytest.raises(PayloadTooLarge, match="decompressed body is larger than 1000 bytes"):
        decompress(pack(bytes(LIMIT + 1)), coding, LIMIT)


def test_a_bomb_is_never_held_in_memory() -> None:
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
def test_a_large_answer_takes_the_first_coding_that_is_accepted_and_known(
    accepted: str, coding: str | None
) -> None:
    body, name = compress(LARGE, accepted)
    assert name == coding
    assert (body if name is None else decompress(body, name, len(LARGE))) == LARGE


def test_a_small_answer_stays_plain() -> None:
    assert compress(LARGE[:-1], "gzip") == (LARGE[:-1], None)
