"""Random HTTP connections in which one or two elements are large, many or malformed."""

from __future__ import annotations

import gzip
import io
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image

from tests.attack.single.script import MOST, Port, Reading, Repeated, Script

SIZES = (100, 3_000, 30_000, 300_000, 3_000_000, MOST // 2)
LONGEST_BODY = 30 << 20
BYTES = (
    b"a",
    b";",
    b'"',
    b"\\",
    b",",
    b" ",
    b"\t",
    b"%41",
    b"=",
    b"(",
    b"\xff",
    b"0",
    b"9",
    b"[",
    b"{",
    b"&",
    b"--",
)
PATHS = (
    "/classify",
    "/models/signnet/classify",
    "/models/filters/classify",
    "/v1/models/convnet:predict",
    "/v1/models/convnet:classify",
    "/v1/models/filters:predict",
    "/v2/models/convnet/infer",
    "/v2/models/filters/infer",
    "/predictions/lenet5",
    "/v2/repository/index",
    "/v2/logging",
    "/metrics",
    "/livez",
    "/nowhere",
)
HEADERS = (
    "Accept",
    "Accept-Encoding",
    "Authorization",
    "Connection",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Type",
    "Cookie",
    "Expect",
    "Forwarded",
    "Host",
    "Inference-Header-Content-Length",
    "Origin",
    "Transfer-Encoding",
    "X-API-Key",
    "X-Forwarded-For",
    "X-Request-Timeout-Ms",
    "traceparent",
    "tracestate",
)
TENSOR = b'{"inputs": [{"name": "pixels", "datatype": "UINT8", '
# The start, the part that is repeated, and the end of a document.
DOCUMENTS = (
    (b'{"instances": [', b"[],", b"[]]}"),
    (b'{"instances": [', b"{},", b"{}]}"),
    (b'{"instances": [', b"1,", b"1]}"),
    (b'{"instances": [', b"[1,2],", b"[1]]}"),
    (b'{"instances": [{"b64": "', b"AAAA", b'"}]}'),
    (b'{"inputs": [', b"{},", b"{}]}"),
    (TENSOR + b'"shape": [', b"1,", b'1], "data": [1]}]}'),
    (
        b'{"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 784], "data": [',
        b"7,",
        b"7]}]}",
    ),
    (b'{"inputs": [{"name": "', b"x", b'"}]}'),
    (b'{"id": "', b"\\u0041", b'", "inputs": []}'),
    (b'{"parameters": {', b'"a":1,', b'"b":2}, "inputs": []}'),
    (b'{"outputs": [', b'{"name":"x"},', b'{}], "inputs": []}'),
    (b'{"images": [', b'{"b64":""},', b'{"b64":""}]}'),
    (b'{"examples": [', b'{"a":1},', b"{}]}"),
    (b"", b"[", b""),
    (b"", b"]", b""),
    (b"", b'{"a":', b""),
    (b"", b'"', b""),
    (b"", b"9", b""),
    (b"[", b"1e9,", b"1]"),
    (b"[", b"-0.000000000000000000001,", b"1]"),
    (b"", b" ", b"{}"),
    (b"", b"\\", b""),
)
MODES = (
    ("PNG", "RGBA"),
    ("PNG", "L"),
    ("PNG", "P"),
    ("PNG", "1"),
    ("PNG", "I;16"),
    ("JPEG", "RGB"),
    ("JPEG", "CMYK"),
    ("GIF", "P"),
    ("WEBP", "RGBA"),
    ("BMP", "L"),
    ("TIFF", "RGBA"),
    ("TIFF", "F"),
    ("TIFF", "CMYK"),
)
PARAMETERS = (
    b'a="',
    b"a=b;",
    b'"\\',
    b";;",
    b"boundary=x;",
    b"charset=utf-7;",
    b"a*0=b;",
    b"filename*=utf-8''%",
)
HEADER_LINES = (
    b"a:\r\n",
    b"X-API-Key: k\r\n",
    b"Cookie: a=b\r\n",
    b"X-Forwarded-For: 1.2.3.4\r\n",
    b" folded\r\n",
)
CODINGS = (b"gzip", b"gzip;q=0.5, deflate", b"*" + b", *" * 300)
TYPES = ("image/png", "application/json", "multipart/form-data; boundary=edge", "application/octet-stream")


@dataclass(slots=True)
class Request:
    """A request that changes make hostile; `notes` describe them."""

    method: str = "POST"
    path: str = "/classify"
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    many_headers: Repeated = field(default_factory=lambda: Repeated(b"", 0))
    body: Repeated = field(default_factory=lambda: Repeated(b""))
    chunk: bytes | None = None  # repeated in place of the body
    chunks: int = 0
    trailer: Repeated = field(default_factory=lambda: Repeated(b"", 0))
    declared: int | None = None  # a Content-Length other than that of the body
    notes: list[str] = field(default_factory=list)

    def parts(self) -> tuple[Repeated, ...]:
        framing = b"Transfer-Encoding: chunked\r\n" if self.chunk is not None else b""
        if self.chunk is None:
            length = len(self.body) if self.declared is None else self.declared
            framing = b"Content-Length: %d\r\n" % length
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in self.headers)
        start = f"{self.method} {self.path} HTTP/1.1\r\nHost: a\r\n".encode("latin-1")
        head = (Repeated(start + lines), self.many_headers, Repeated(framing + b"\r\n"))
        if self.chunk is None:
            return (*head, self.body)
        return (*head, Repeated(self.chunk, self.chunks), Repeated(b"0\r\n"), self.trailer, Repeated(b"\r\n"))


Change = Callable[[random.Random, Request], None]


def http_script(draw: random.Random) -> Script:
    request = Request(path=draw.choice(PATHS))
    request.headers = [(b"Content-Type", draw.choice(TYPES).encode())]
    draw.choice(BODIES)(draw, request)
    for change in draw.sample(CHANGES, draw.choice((0, 1, 1, 2))):
        change(draw, request)
    parts = request.parts()
    size = sum(map(len, parts))
    if draw.random() < 0.15 and size < MOST:
        times = min(draw.choice((3, 100, 100_000)), MOST // size)
        parts *= 1
        request.notes.append(f"{times} times")
        parts = tuple(part for _ in range(times) for part in parts) if times <= 100 else _joined(parts, times)
    return Script(
        name="; ".join([request.path, *request.notes]),
        port=Port.HTTP,
        parts=parts,
        reading=draw.choice((Reading.ALL, Reading.ALL, Reading.SLOWLY, Reading.NOTHING)),
        ends_sending=draw.random() < 0.1,
    )


def _joined(parts: tuple[Repeated, ...], times: int) -> tuple[Repeated, ...]:
    return (Repeated(b"".join(part.data * part.times for part in parts), times),)


# Bodies.


def _json(draw: random.Random, request: Request) -> None:
    start, repeated, end = draw.choice(DOCUMENTS)
    times = draw.choice(SIZES) // len(repeated)
    request.headers = [(b"Content-Type", b"application/json")]
    request.body = Repeated((start + repeated * times + end)[:LONGEST_BODY])
    request.notes.append(f"JSON of {times:,} {(start + repeated)[-30:]!r}")


def _form(draw: random.Random, request: Request) -> None:
    content = draw.choice((b"", b"x", b"\r\n--edge", b"\r\n--edgy", b"--", _image(draw, 256)))
    disposition = draw.choice(
        (b'form-data; name="x"', b'form-data; name="f"; filename="a.png"', b"form-data")
    )
    extra = draw.choice(BYTES) * draw.choice((0, 10, 1000, 8000))
    part = b"--edge\r\nContent-Disposition: " + disposition + extra + b"\r\n\r\n" + content + b"\r\n"
    times = max(1, min(draw.choice((1, 100, 999, 10_000, 1_000_000)), LONGEST_BODY // len(part)))
    request.headers = [(b"Content-Type", b"multipart/form-data; boundary=edge")]
    request.body = Repeated(part * times + b"--edge--\r\n")
    request.notes.append(f"form of {times:,} parts of {len(part):,} bytes, {part[-30:]!r}")


def _picture(draw: random.Random, request: Request) -> None:
    image = _image(draw, draw.choice((28, 256, 2048, 7071)))
    request.headers = [(b"Content-Type", b"image/png")]
    request.body = Repeated(image)
    request.notes.append(f"image of {len(image):,} bytes, {image[:4]!r}")


def _image(draw: random.Random, side: int) -> bytes:
    form, mode = draw.choice(MODES)
    side = min(side, 2500) if form in ("BMP", "TIFF", "WEBP") else side
    buffer = io.BytesIO()
    options = {"compression": "tiff_deflate"} if form == "TIFF" else {}
    Image.new(mode, (side, side)).save(buffer, form, progressive=draw.random() < 0.5, **options)
    return buffer.getvalue()


def _noise(draw: random.Random, request: Request) -> None:
    size = draw.choice(SIZES)
    byte = draw.choice(BYTES)
    request.body = Repeated(byte, max(1, min(size, LONGEST_BODY) // len(byte)))
    request.notes.append(f"body of {size:,} bytes of {byte!r}")


def _no_body(draw: random.Random, request: Request) -> None:
    request.method = "GET"


BODIES = (_json, _json, _form, _form, _picture, _picture, _noise, _no_body)


# Changes.


def _long_header(draw: random.Random, request: Request) -> None:
    name, byte, size = draw.choice(HEADERS), draw.choice(BYTES), draw.choice(SIZES)
    request.headers.append((name.encode(), byte * (size // len(byte))))
    request.notes.append(f"{name} of {size:,} bytes of {byte!r}")


def _parameters(draw: random.Random, request: Request) -> None:
    kind = draw.choice((b"multipart/form-data;", b"application/json;", b"image/png;"))
    piece = draw.choice(PARAMETERS)
    times = min(draw.choice(SIZES), 30_000) // len(piece)
    request.headers = [(b"Content-Type", kind + piece * times)]
    request.notes.append(f"Content-Type of {times:,} {piece!r}")


def _many_headers(draw: random.Random, request: Request) -> None:
    line = draw.choice(HEADER_LINES)
    request.many_headers = Repeated(line, draw.choice((90, 100, 10_000, 1_000_000)))
    request.notes.append(f"{request.many_headers.times:,} headers {line!r}")


def _long_path(draw: random.Random, request: Request) -> None:
    byte = draw.choice((b"a", b"/", b"%2F", b"?", b"&a=", b"%0A", b"..", b"top_k=1&")).decode()
    size = draw.choice(SIZES)
    request.path += draw.choice(("", "?", "/")) + byte * (size // len(byte))
    request.notes.append(f"path of {size:,} bytes of {byte!r}")


def _chunks(draw: random.Random, request: Request) -> None:
    body = request.body.data[:1000] or b"x"
    extension = draw.choice((b"", b";a", b";a=b", b";" + b"x" * 1000, b';"' + b"y" * 20_000))
    size = draw.choice((b"%x", b"%016x", b"%x "))
    request.chunk = size % len(body) + extension + b"\r\n" + body + b"\r\n"
    request.chunks = max(1, min(draw.choice((1, 1000, 1_000_000)), LONGEST_BODY // len(request.chunk)))
    request.notes.append(f"{request.chunks:,} chunks {request.chunk[:20]!r}")


def _trailers(draw: random.Random, request: Request) -> None:
    _chunks(draw, request)
    line = draw.choice((b"a:b\r\n", b"X-API-Key: k\r\n", b"x" * 60_000, b"Content-Length: 5\r\n"))
    request.trailer = Repeated(line, max(1, min(draw.choice((1, 1000, 1_000_000)), MOST // len(line))))
    request.notes.append(f"{request.trailer.times:,} trailers {line[:20]!r}")


def _compressed(draw: random.Random, request: Request) -> None:
    if request.chunk is not None or len(request.body) > LONGEST_BODY:
        return
    data = request.body.data * request.body.times
    coding, packed = draw.choice(
        (
            ("gzip", gzip.compress(data, 6)),
            ("deflate", zlib.compress(data, 6)),
            ("gzip", gzip.compress(data, 6) * 50),
            ("gzip", gzip.compress(b"") * 100_000),
            ("gzip", gzip.compress(data, 0)),
            ("gzip", b"\x1f\x8b\x08\x08\0\0\0\0\0\xff" + b"n" * 1_000_000),
            ("gzip, gzip", gzip.compress(gzip.compress(data, 6), 6)),
        )
    )
    request.body = Repeated(packed)
    request.headers.append((b"Content-Encoding", coding.encode()))
    request.notes.append(f"{coding} from {len(data):,} to {len(packed):,} bytes")


def _unfinished(draw: random.Random, request: Request) -> None:
    request.declared = draw.choice((len(request.body) + 1, 32 << 20, 10**19, 10**400))
    request.notes.append(
        f"Content-Length {request.declared:.3g}" if request.declared < 10**300 else "endless length"
    )


def _compressed_answer(draw: random.Random, request: Request) -> None:
    request.headers.append((b"Accept-Encoding", draw.choice(CODINGS)))


def _raw_infer(draw: random.Random, request: Request) -> None:
    length = draw.choice((b"0", b"1", b"9" * 4000, b"-1", b"100000000"))
    request.headers.append((b"Inference-Header-Content-Length", length))
    request.notes.append(f"header length {length[:10]!r}")


CHANGES: tuple[Change, ...] = (
    _long_header,
    _parameters,
    _many_headers,
    _long_path,
    _chunks,
    _trailers,
    _compressed,
    _compressed,
    _unfinished,
    _compressed_answer,
    _raw_infer,
)
