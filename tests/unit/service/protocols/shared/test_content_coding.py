from __future__ import annotations

import asyncio
import gzip
import random
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.client_budget import Account, ClientBudget
from service.errors import InvalidInput, PayloadTooLarge, UnsupportedContent
from service.inference.text_executor import TextExecutor
from service.protocols.shared import content_coding
from service.protocols.shared.content_coding import MAX_RATIO, MIN_COMPRESSED_BYTES, UNLIMITED_RATIO_BYTES

LIMIT = 1000


def decompress(body: bytes, coding: str, limit: int, account: Account | None = None) -> bytes:
    async def run() -> bytes:
        texts, charged = TextExecutor(), account or Account.unlimited()
        try:
            return await content_coding.decompress(
                body, coding, limit, texts, account=charged, deadline=asyncio.get_running_loop().time() + 60
            )
        finally:
            texts.close()

    return asyncio.run(run())


def compress(body: bytes, accepted: str) -> tuple[bytes, str | None]:
    async def run() -> tuple[bytes, str | None]:
        texts, deadline = TextExecutor(), asyncio.get_running_loop().time() + 60
        try:
            return await content_coding.compress(
                body, accepted, texts, account=Account.unlimited(), deadline=deadline
            )
        finally:
            texts.close()

    return asyncio.run(run())


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


@given(st.integers(1, 3_000_000), st.sampled_from(["gzip", "deflate"]), st.booleans())
@settings(max_examples=20, deadline=None)
def test_large_bodies_round_trip_in_steps(size: int, coding: str, noisy: bool) -> None:
    plain = random.Random(size).randbytes(size) if noisy else b"pixels" * (size // 6)
    packed, name = compress(plain, coding)
    if name is not None:
        assert decompress(packed, name, len(plain)) == plain


def test_body_may_inflate_a_hundred_times() -> None:
    small = gzip.compress(bytes(UNLIMITED_RATIO_BYTES))
    assert len(decompress(small, "gzip", 10 * UNLIMITED_RATIO_BYTES)) == UNLIMITED_RATIO_BYTES
    large = gzip.compress(bytes(UNLIMITED_RATIO_BYTES + 1))
    with pytest.raises(PayloadTooLarge, match=f"{MAX_RATIO} times the size of a large compressed body"):
        decompress(large, "gzip", 10 * UNLIMITED_RATIO_BYTES)


def test_large_output_is_charged_before_it_is_computed() -> None:
    budget = ClientBudget(3_000_000)
    account = budget.account("client")
    body = gzip.compress(random.Random(1).randbytes(100_000))
    with pytest.raises(PayloadTooLarge, match="CONVSERVE_CLIENT_BUDGET_BYTES"):
        decompress(body, "gzip", 4_000_000, account)
    assert len(decompress(body, "gzip", 1_000_000, account)) == 100_000
    assert account.held == 100_000
    account.close()
    assert budget.held == 0
