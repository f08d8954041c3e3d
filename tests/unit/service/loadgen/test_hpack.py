from __future__ import annotations

import pytest

from service.loadgen.clients.hpack import decode, encode


@pytest.mark.parametrize("length", [0, 1, 126, 127, 128, 254, 255, 300, 20_000])
def test_encoded_fields_are_decoded(length: int) -> None:
    fields = [(b"grpc-status", b"0"), (b"grpc-message", b"m" * length)]
    assert list(decode(encode(fields))) == fields


def test_indexed_and_huffman_coded_fields_are_skipped() -> None:
    status_200, resized = b"\x88", b"\x20"
    huffman = b"\x40\x03abc\x82\xff\xff"
    named_by_number = b"\x0f\x10\x01x"
    block = status_200 + resized + huffman + named_by_number + encode([(b"grpc-status", b"8")])
    assert list(decode(block)) == [(None, None), (b"abc", None), (None, b"x"), (b"grpc-status", b"8")]


@pytest.mark.parametrize(
    "block", [b"\x00", b"\x00\x03ab", b"\x00\x01a\x05b", b"\x7f\x80", b"\x7f\x80\x01\x01x"]
)
def test_truncated_or_dynamic_field_is_rejected(block: bytes) -> None:
    with pytest.raises(ValueError, match="header"):
        list(decode(block))
