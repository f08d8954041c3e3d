"""Generates requests as bytes: valid ones of every dialect, and mutations of them."""

from __future__ import annotations

import base64
import gzip
import json
import struct
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.support.models.gray_classifier import SIDE, image, rows

LENGTH = "Inference-Header-Content-Length"
FORM = "multipart/form-data; boundary=frontier"
PATHS = (
    "/classify",
    "/models/shades/classify",
    "/v2/models/shades/infer",
    "/v2/models/shades/versions/1/infer",
    "/v2/repository/index",
    "/v2/logging",
    "/v2/trace/setting",
    "/v2/models/shades/trace/setting",
    "/v1/models/shades:predict",
    "/v1/models/shades:classify",
    "/predictions/shades",
)


class Sent(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes


def _infer(document: dict[str, Any], tail: bytes = b"") -> Sent:
    text = json.dumps(document).encode()
    headers = {LENGTH: str(len(text))} if tail else {}
    return Sent("/v2/models/shades/infer", headers, text + tail)


def _json(path: str, document: Any) -> Sent:
    return Sent(path, {"Content-Type": "application/json"}, json.dumps(document).encode())


def _packed(sent: Sent) -> Sent:
    return Sent(sent.path, {**sent.headers, "Content-Encoding": "gzip"}, gzip.compress(sent.body))


def _valid() -> list[Sent]:
    """At least one of each form of body."""
    file, row = image(7), rows(7)
    text = base64.b64encode(file).decode()
    tensor = {"name": "pixels", "shape": [1, SIDE, SIDE, 1], "datatype": "UINT8"}
    outputs = [{"name": "probabilities", "parameters": {"classification": 3, "binary_data": True}}]
    numbers = {"inputs": [{**tensor, "data": row.ravel().tolist()}]}
    element = struct.pack("<I", len(file)) + file
    behind = {"inputs": [{**tensor, "parameters": {"binary_data_size": row.nbytes}}], "outputs": outputs}
    files = {"name": "pixels", "shape": [1], "datatype": "BYTES"}
    part = b'--frontier\r\nContent-Disposition: form-data; name="a"; filename="a.png"\r\n\r\n%b\r\n'
    return [
        Sent("/classify", {"Content-Type": "image/png"}, file),
        Sent("/classify", {"Content-Type": FORM}, 2 * (part % file) + b"--frontier--\r\n"),
        _json("/classify", {"images": [{"b64": text, "filename": "a.png"}]}),
        _infer(numbers),
        _packed(_infer({**numbers, "id": "x", "parameters": {"timeout": 10**7, "priority": 1}})),
        _infer(behind, row.tobytes()),
        _packed(_infer(behind, row.tobytes())),
        _infer({"inputs": [{**files, "data": [text]}]}),
        _infer({"inputs": [{**files, "parameters": {"binary_data_size": len(element)}}]}, element),
        Sent("/v2/models/shades/infer", {LENGTH: "0"}, row.tobytes()),
        _json("/v2/repository/index", {"ready": True}),
        _json("/v2/logging", {"log_file": "", "log_verbose_level": None}),
        _json("/v2/trace/setting", {"trace_level": ["OFF"], "trace_rate": "0"}),
        _json("/v1/models/shades:predict", {"instances": row.tolist()}),
        _json("/v1/models/shades:predict", {"inputs": {"pixels": [{"b64": text}]}}),
        _json("/v1/models/shades:classify", {"examples": [{"image": {"b64": text}}]}),
        Sent("/predictions/shades", {}, file),
    ]


GOOD = _valid()

_NUMBERS = [-1, 0, 1, 2**31, 2**32, 2**60, 2**62, 2**63, 2**64, 10**400, 0.5, 1e39, 1e308]
_TOKENS = [
    *(json.dumps(number).encode() for number in _NUMBERS),
    *(b"null", b"true", b"NaN", b"Infinity", b'"x"', b"[]", b"{}", b"[" * 300, b'{"a":' * 300, b'"\\ud800"'),
    *(b"\xff\xff\xff\xff", b"\0", b"\r\n", b"--frontier", b"--frontier--", b'"binary_data_size":', b"BYTES"),
    *(b"filename*=idna''x", b"filename*=utf-7''+2AA-", b"filename*" + b"9" * 500 + b"=x"),
]

_lengths = st.sampled_from(["0", "-1", "1", "64", "1e3", "9" * 18, "1" * 5000, "x", ""]) | st.integers(
    0, 2000
).map(str)
_headers = st.fixed_dictionaries(
    {},
    optional={
        LENGTH: _lengths,
        "Content-Type": st.sampled_from(
            ["", "image/png", "application/json", "text/plain", FORM, f"{FORM}x", "multipart/form-data"]
            + [f"multipart/form-data; boundary*={value}" for value in ("idna''x", "utf-8''%c4%80", "a'b")]
        ),
        "Content-Encoding": st.sampled_from(["", "identity", "gzip", "deflate", "br", "gzip, gzip"]),
        "Accept-Encoding": st.sampled_from(["gzip", "deflate;q=0, gzip", "br", ";,="]),
        "X-Request-Timeout-Ms": st.sampled_from(["0", "-1", "nan", "1e300", "0.01", "30000", "x"]),
    },
)


@st.composite
def _mutated(draw: st.DrawFn) -> Sent:
    """A valid request with bytes removed, inserted or overwritten, and with other headers."""
    path, headers, body = draw(st.sampled_from(GOOD))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(len(body), start + 40)))
        body = body[:start] + draw(st.sampled_from(_TOKENS) | st.binary(max_size=20)) + body[end:]
    if draw(st.booleans()):
        headers = {**headers, **draw(_headers)}
    return Sent(draw(st.just(path) | st.sampled_from(PATHS)), headers, body)


_anything = st.builds(Sent, st.sampled_from(PATHS), _headers, st.binary(max_size=400))

requests = _mutated() | _anything
