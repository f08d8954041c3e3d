"""Decompression of messages."""

from __future__ import annotations

import asyncio
import gzip
import random
import zlib

import pytest

from service.client_budget import Account, ClientBudget
from service.errors import BudgetExceeded, InvalidInput, PayloadTooLarge
from service.protocols.grpc.inference_pb2 import ModelInferRequest
from service.protocols.grpc.limits.decompression import LARGE_CHUNK_BYTES, decompress, is_compressed

MEBIBYTE = 1024 * 1024
LONG = random.Random(1).randbytes(5 * MEBIBYTE)


def decompressed(message: bytes, max_bytes: int = 64 * MEBIBYTE, account: Account | None = None) -> bytes:
    return asyncio.run(decompress(message, max_bytes, account or Account.unlimited()))


@pytest.mark.parametrize("message", [b"", b"short", LONG])
def test_both_formats_are_recognized_and_decompressed(message: bytes) -> None:
    for level in (0, 1, 6, 9):
        for compressed in (gzip.compress(message, level), zlib.compress(message, level)):
            assert is_compressed(compressed)
            assert decompressed(compressed) == message


@pytest.mark.parametrize("name", ["", "x", "\x1f\x8b\x08"])
def test_messages_are_not_taken_for_compressed_ones(name: str) -> None:
    assert not is_compressed(ModelInferRequest(model_name=name).SerializeToString())


def test_damaged_data_is_rejected() -> None:
    compressed = gzip.compress(LONG)
    with pytest.raises(InvalidInput, match="ends early"):
        decompressed(compressed[:-9])
    with pytest.raises(InvalidInput, match="is damaged"):
        decompressed(compressed[:-8] + bytes(8))


def test_size_is_limited_while_decompressing() -> None:
    with pytest.raises(PayloadTooLarge, match="more than 1,048,576 bytes when it is decompressed"):
        decompressed(gzip.compress(bytes(16 * MEBIBYTE)), MEBIBYTE)


def test_ratio_of_a_large_message_is_limited() -> None:
    assert decompressed(gzip.compress(bytes(4 * MEBIBYTE))) == bytes(4 * MEBIBYTE)
    with pytest.raises(PayloadTooLarge, match="100 times the size"):
        decompressed(gzip.compress(bytes(8 * MEBIBYTE)))


def test_result_is_charged() -> None:
    budget = ClientBudget(128 * MEBIBYTE)
    account = budget.account("client")
    assert decompressed(gzip.compress(LONG), account=account) == LONG
    assert account.held == len(LONG)
    with pytest.raises((BudgetExceeded, PayloadTooLarge)):
        decompressed(gzip.compress(LONG), account=ClientBudget(LARGE_CHUNK_BYTES).account("other"))
