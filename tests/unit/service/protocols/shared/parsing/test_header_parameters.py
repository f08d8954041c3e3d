from __future__ import annotations

import time
from contextlib import suppress
from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidInput
from service.protocols.shared.parsing.header_parameters import (
    MAX_LENGTH,
    MAX_PARAMETERS,
    parse_parameters,
)

DISPOSITION = "content-disposition"

# As real clients write them; the parser of the standard library reads all of these alike.
USUAL = [
    'form-data; name="images"; filename="a.png"',
    'form-data;name="images";filename="a;b.png"',
    "form-data; name=images; filename=plain.png",
    'form-data; filename="sieben-é七.png"; name="images"',
    'form-data; name="a\\"b"; filename="C:\\folder\\a.png"',
    'form-data; name="images"; filename="a%22b.png"',
    "form-data; name=\"images\"; filename*=utf-8''sieben-%C3%A9.png",
    'form-data; name="images"; filename="x.png"; filename*=UTF-8\'en\'a%20b.png',
    "form-data; name=images; filename*=iso-8859-1''%E9.png",
    "form-data; name=images; filename=a.png; filename*=utf-8''a.png",
    'form-data; name="images"; filename="a\\"b\\\\c.png"',
    'attachment; name="images"; filename="a.png"; size=3; creation-date="Sat, 28 Nov 2026 12:00:00 +0000"',
    'form-data ; NAME = "images" ; FileName = a.png',
    'multipart/form-data; boundary="a b"; charset=utf-8',
    "multipart/form-data; boundary=----WebKitFormBoundaryAbc123",
    "multipart/form-data; charset=utf-8; boundary=--------------------------123;",
    "form-data",
    "form-data;",
    "",
]


def reference(value: str) -> dict[str, str]:
    """The parameters according to the standard library."""
    message = Message()
    message["content-disposition"] = value
    parameters = message.get_params(header=DISPOSITION) or []
    return {
        name.lower(): text if isinstance(text, str) else text[2].encode("latin-1").decode(text[0] or "ascii")
        for name, text in parameters[1:]
        if name
    }


@pytest.mark.parametrize("value", USUAL)
def test_usual_headers_equal_those_of_the_standard_library(value: str) -> None:
    assert parse_parameters(DISPOSITION, value) == reference(value)


@given(st.lists(st.tuples(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(max_size=20)), max_size=5))
def test_quoted_values_are_read_back(parameters: list[tuple[str, str]]) -> None:
    escaped = [(name, value.replace("\\", "\\\\").replace('"', '\\"')) for name, value in parameters]
    header = "form-data" + "".join(f'; {name}="{value}"' for name, value in escaped)
    assert parse_parameters(DISPOSITION, header) == dict(parameters)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('form-data; filename="a\\b\\\\c\\"d"', {"filename": 'a\\b\\c"d'}),
        ('form-data; filename="open', {"filename": '"open'}),
        ('form-data; filename="a"b; name=c', {"filename": "a", "name": "c"}),
        ("form-data; filename; name=c", {"filename": "", "name": "c"}),
        ("form-data; =x; name=c", {"name": "c"}),
        ("form-data; a=1; a=2", {"a": "2"}),
        ("form-data; filename*=utf-8''%FF.png", {"filename": "\ufffd.png"}),
        ("form-data; filename*=UTF-8''a'b%2", {"filename": "a'b%2"}),
        ("form-data; filename*=utf-8''x; filename=y", {"filename": "x"}),
        ("form-data; filename*0=a; filename*1=b", {"filename*0": "a", "filename*1": "b"}),
    ],
)
def test_unusual_headers(value: str, expected: dict[str, str]) -> None:
    assert parse_parameters(DISPOSITION, value) == expected


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("form-data; filename*=x", "must be percent-encoded UTF-8 or ISO-8859-1"),
        ("form-data; filename*=utf-7''+2AA-.png", "must be percent-encoded UTF-8 or ISO-8859-1"),
        ("form-data; filename*=idna''x", "must be percent-encoded UTF-8 or ISO-8859-1"),
        ("form-data; filename*=utf-8''é", "must be percent-encoded UTF-8 or ISO-8859-1"),
        ("form-data; a=" + "x" * MAX_LENGTH, "more than 4,096 characters"),
        ("form-data" + "; a=b" * (MAX_PARAMETERS + 1), "more than 16 parameters"),
    ],
)
def test_malformed_headers_are_rejected(value: str, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        parse_parameters(DISPOSITION, value)


@given(st.text(alphabet=";=\"\\* \t'%ab", max_size=200))
def test_any_text_is_parsed_or_rejected(text: str) -> None:
    try:
        parameters = parse_parameters(DISPOSITION, text)
    except InvalidInput:
        return
    assert all(isinstance(value, str) for value in parameters.values())


HOSTILE = ['"' + ";" * 4000, ';a="\\' * 800, ';a="' * 1000, "\\" * 4000, ';="' * 1000, "; " * 2000]


@pytest.mark.parametrize("tail", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.measures
def test_hostile_headers_cost_microseconds(tail: str) -> None:
    spent = []
    for _ in range(5):
        started = time.perf_counter()
        with suppress(InvalidInput):
            parse_parameters(DISPOSITION, "form-data" + tail)
        spent.append(time.perf_counter() - started)
    assert min(spent) < 1e-3
