from __future__ import annotations

from functools import partial
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from python_multipart import MultipartParser

from service.errors import InvalidInput, PayloadTooLarge
from service.imaging.decode_pool import EncodedImage
from service.protocols.shared import multipart

FORM = "multipart/form-data; boundary=frontier"

read_files = partial(multipart.read_files, max_parts=10_000)


def part(data: bytes, *headers: str) -> bytes:
    return b"--frontier\r\n" + "".join(f"{line}\r\n" for line in headers).encode() + b"\r\n" + data + b"\r\n"


def body(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--frontier--\r\n"


def test_files_keep_their_order_and_names() -> None:
    files = read_files(
        FORM,
        body(
            part(b"one", 'Content-Disposition: form-data; name="images"; filename="a.png"'),
            part(
                b"t\r\nwo",
                'content-disposition: form-data; name="x"; filename="b c.png"',
                "Content-Type: image/png",
            ),
        ),
    )
    assert files == [EncodedImage(b"one", "a.png"), EncodedImage(b"t\r\nwo", "b c.png")]


def test_text_fields_are_skipped_and_unnamed_images_kept() -> None:
    files = read_files(
        FORM,
        body(
            part(b"send", 'Content-Disposition: form-data; name="button"'),
            part(b"png", 'Content-Disposition: form-data; name="image"', "Content-Type: image/png"),
        ),
    )
    assert files == [EncodedImage(b"png")]


def test_quoted_boundary_and_a_utf8_file_name() -> None:
    disposition = 'Content-Disposition: form-data; name="images"; filename="sieben-é七.png"'
    files = read_files('multipart/form-data; boundary="frontier"', body(part(b"x", disposition)))
    assert files == [EncodedImage(b"x", "sieben-é七.png")]


@pytest.mark.parametrize(
    ("parameter", "name"),
    [
        ("filename*=utf-8''sieben-%C3%A9.png", "sieben-é.png"),
        ("filename*=ISO-8859-1''%FF.png", "ÿ.png"),
        ('filename=""', None),
        ("filename=plain.png", "plain.png"),
        ('filename="a\\"b.png"', 'a"b.png'),
        ('filename="a%22b%20.png"', 'a"b%20.png'),
        ("filename=\"a.png\"; filename*=UTF-8''b.png", "b.png"),
    ],
)
def test_forms_of_a_file_name(parameter: str, name: str | None) -> None:
    disposition = f"Content-Disposition: form-data; name=images; {parameter}"
    assert read_files(FORM, body(part(b"x", disposition))) == [EncodedImage(b"x", name)]


def test_content_may_resemble_the_boundary() -> None:
    disposition = 'Content-Disposition: form-data; name="images"; filename="a"'
    for data in (b"\r\n--frontier-town\r\n", b"\r\n--fronti", b"x--frontier\r\n", b"\r\n\r\n", b"x\r", b""):
        assert (
            read_files(FORM, body(part(data, disposition), part(data, disposition)))
            == [EncodedImage(data, "a")] * 2
        )


def test_preamble_and_epilogue_are_skipped() -> None:
    whole = body(part(b"x", 'Content-Disposition: form-data; name="images"; filename="a"'))
    assert read_files(FORM, b"a preamble\r\n" + whole + b"--frontier\r\nan epilogue") == [
        EncodedImage(b"x", "a")
    ]
    assert read_files(FORM, whole.replace(b"frontier\r\n", b"frontier \t\r\n", 1)) == [
        EncodedImage(b"x", "a")
    ]


def test_part_without_headers_is_not_a_file() -> None:
    assert read_files(FORM, body(part(b"x"))) == []


HEADERS = [
    'Content-Disposition: form-data; name="images"; filename="a b.png"',
    'Content-Disposition: form-data;name="images";filename="a;b.png"',
    "Content-Disposition: form-data; name=images; filename=plain.png",
    "CONTENT-DISPOSITION: FORM-DATA; NAME=images; FILENAME*=utf-8''%C3%A9.png",
    'content-disposition: form-data; filename="é.png"; name="images"',
    "Content-Type: image/png",
    "Content-Type: text/plain",
    "Content-Length: 3",
]


@given(
    st.lists(st.tuples(st.binary(max_size=80), st.lists(st.sampled_from(HEADERS), max_size=3)), max_size=4)
)
def test_files_equal_those_of_python_multipart(parts: list[tuple[bytes, list[str]]]) -> None:
    """python-multipart, the parser of most Python servers, is the reference."""
    form = body(*(part(data, *headers) for data, headers in parts))
    contents: list[bytearray] = []
    parser = MultipartParser(
        b"frontier",
        {
            "on_part_begin": lambda: contents.append(bytearray()),
            "on_part_data": lambda data, start, end: contents[-1].extend(data[start:end]),
        },
    )
    parser.write(form)
    parser.finalize()
    expected = [
        bytes(content) for content, (_, headers) in zip(contents, parts, strict=True) if is_file(headers)
    ]
    assert [file.data for file in read_files(FORM, form)] == expected


@pytest.mark.parametrize("name", ["a.png", "a b;c.png", 'a"b.png', "sieben-é七.png", "a\\b.png", "%41.png"])
def test_form_of_a_client_library(name: str) -> None:
    files: Any = [("images", (name, b"one", "image/png")), ("images", ("b.png", b"two"))]
    request = httpx2.Request("POST", "http://localhost/", files=files, data={"button": "send"})
    content_type = request.headers["Content-Type"]
    assert read_files(content_type, request.read()) == [
        EncodedImage(b"one", name),
        EncodedImage(b"two", "b.png"),
    ]


def is_file(headers: list[str]) -> bool:
    types = [header for header in headers if header.startswith("Content-Type")]
    return any("disposition" in header.lower() for header in headers) or "image" in "".join(types[-1:])


def test_empty_form_has_no_files() -> None:
    assert read_files(FORM, body()) == []


@pytest.mark.parametrize(
    ("content_type", "data", "sentence"),
    [
        ("multipart/form-data", body(), "has no boundary"),
        ("multipart/form-data; boundary=ä→", body(), "the boundary is not ASCII"),
        (FORM, b"no boundary anywhere", "the boundary does not occur"),
        (FORM, part(b"x", 'Content-Disposition: form-data; filename="a"'), "before its closing boundary"),
        (FORM, b"", "before its closing boundary"),
        (FORM, b"--frontier\r\n--frontier--", "headers of a part do not end"),
        (FORM, b"--frontier\r\nA: b\r\nx\r\n--frontier--", "headers of a part do not end"),
        (FORM, b"--frontier\r\n: b\r\n\r\nx\r\n--frontier--", "malformed header"),
        (FORM, b"--frontier\r\nbroken header\r\n\r\nx\r\n--frontier--\r\n", "malformed header"),
        ("multipart/form-data; boundary=" + "x" * 999, b"", "more than 256 characters"),
        (FORM, body(part(b"x", *["A: b"] * 17)), "more than 16 headers"),
        (FORM, body(part(b"x", "A: " + "b" * 9000)), "headers of a part do not end"),
        (FORM, body(part(b"\r\n--frontiers" * 1001)), "too many of its lines begin like the boundary"),
    ],
)
def test_malformed_forms_are_rejected(content_type: str, data: bytes, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        read_files(content_type, data)


def test_headers_of_all_parts_are_limited() -> None:
    form = body(*[part(b"", "Content-Disposition: form-data; name=" + "x" * 4000)] * 300)
    with pytest.raises(PayloadTooLarge, match="headers of the form's parts have more than 1,048,576 bytes"):
        read_files(FORM, form)


@pytest.mark.parametrize("position", [-1, 0, 1, 5, 11])
def test_boundary_across_two_steps_of_the_search(monkeypatch: pytest.MonkeyPatch, position: int) -> None:
    monkeypatch.setattr(multipart, "SEARCH_BYTES", 64)
    form = body(part(b"x" * (150 + position), 'Content-Disposition: form-data; filename="a"'))
    assert read_files(FORM, form) == [EncodedImage(b"x" * (150 + position), "a")]


@given(st.binary(max_size=300), st.text(max_size=60))
def test_only_domain_errors_are_raised(data: bytes, tail: str) -> None:
    whole = body(part(data, 'Content-Disposition: form-data; filename="a"'))
    for content_type in (FORM, f"multipart/form-data; boundary={tail}", f"multipart/form-data; {tail}"):
        for form in (data, b"--frontier\r\n" + data, whole):
            try:
                files = read_files(content_type, form)
            except InvalidInput:
                continue
            assert all(isinstance(file.data, bytes) for file in files)
