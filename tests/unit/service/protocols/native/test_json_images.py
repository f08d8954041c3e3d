from __future__ import annotations

import base64
import codecs
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidInput
from service.imaging.decode_pool import EncodedImage
from service.protocols.native.json_images import read_json_images
from tests.support.requests.infer_bodies import JSON_LIMITS


def body(*images: object) -> bytes:
    return json.dumps({"images": images}).encode()


@given(st.binary(max_size=200))
def test_base64_round_trips(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    wrapped = base64.encodebytes(data).decode()
    document = body(
        {"b64": text}, {"b64": f"data:image/png;base64,{text}", "filename": "a.png"}, {"b64": wrapped}
    )
    assert read_json_images(document, JSON_LIMITS) == [
        EncodedImage(data),
        EncodedImage(data, "a.png"),
        EncodedImage(data),
    ]


@pytest.mark.parametrize("size", [3, 100_000])
def test_byte_order_mark_is_ignored(size: int) -> None:
    document = body({"b64": base64.b64encode(bytes(size)).decode()})
    assert read_json_images(codecs.BOM_UTF8 + document, JSON_LIMITS) == [EncodedImage(bytes(size))]


@pytest.mark.parametrize("text", ["!!!!", "AAAAA", "ÄÖ"])
def test_invalid_base64_is_a_fault_of_its_image(text: str) -> None:
    good, bad = read_json_images(body({"b64": "AAAA"}, {"b64": text, "filename": "bad.png"}), JSON_LIMITS)
    assert good == EncodedImage(bytes(3))
    assert (bad.data, bad.filename) == (b"", "bad.png")
    assert str(bad.error).startswith("images.1.b64 is not valid base64: ")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "the body: Invalid JSON"),
        (b"[]", "the body: Input should be an object"),
        (b"{}", "images: Field required"),
        (b'{"images": [{"b64": "AA"}], "more": 1}', "more: Extra inputs"),
        (body({"b64": 7}), "images.0.b64: Input should be a valid string"),
        (body({"b64": "AAAA"}, {"data": "AAAA"}), "images.1.b64: Field required"),
        (b'{"images": ' + b"[" * 99, "Invalid JSON"),
        (b'{"images": ' + b"[" * 100_000, "deeper than 100 levels"),
        (b'{"images": "\xff\xfe"}', "Invalid JSON"),
    ],
)
def test_error_messages(data: bytes, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        read_json_images(data, JSON_LIMITS)


@given(st.binary(max_size=200))
def test_only_domain_errors_are_raised(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        read_json_images(data, JSON_LIMITS)
