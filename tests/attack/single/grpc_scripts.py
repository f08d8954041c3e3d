"""Random HTTP/2 connections to the gRPC port in which an element is large, many or malformed."""

from __future__ import annotations

import random
import struct

from service.loadgen.clients.hpack import encode
from tests.attack.http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    SETTINGS,
    frame,
    headers,
    prefixed,
    reset,
)
from tests.attack.single.script import MOST, Port, Reading, Repeated, Script

PRIORITY, PUSH_PROMISE, PING, CONTINUATION, WINDOW_UPDATE, UNKNOWN = 2, 5, 6, 9, 8, 42
FRAME_BYTES = 16_384
INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
METHODS = (
    INFER,
    STREAM,
    "/inference.GRPCInferenceService/ModelMetadata",
    "/inference.GRPCInferenceService/RepositoryIndex",
    "/inference.GRPCInferenceService/TraceSetting",
    "/inference.GRPCInferenceService/SystemSharedMemoryStatus",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/no.Service/Method",
)
# Header fields: long, short, by index, for the dynamic table, and a size of that table.
FIELDS = (
    encode([(b"x", b"y" * 10_000)]),
    encode([(b"a", b"b")]),
    b"\x82",
    b"\x40\x01a\x01b",
    b"\x3f\xe1\x1f",
)
START = PREFACE + frame(SETTINGS, 0, 0, b"")


def grpc_script(draw: random.Random) -> Script:
    name, parts = draw.choice((_messages, _messages, _messages, _frames, _headers, _streams))(draw)
    return Script(
        name=name,
        port=Port.GRPC,
        parts=(Repeated(START), *parts),
        reading=draw.choice((Reading.ALL, Reading.ALL, Reading.SLOWLY, Reading.NOTHING)),
        ends_sending=False,
    )


def _messages(draw: random.Random) -> tuple[str, tuple[Repeated, ...]]:
    """Calls with a message of one field, many times, of up to 64 KiB, which the first window allows."""
    field = draw.randrange(1, 12)
    kind = draw.choice((0, 1, 2, 5))
    content = {
        0: b"\x01",
        1: bytes(8),
        2: draw.choice((b"\x00", b"\x02\x2a\x00", b"\x05pixel", b"\x04\x0a\x02\x08\x01")),
        5: bytes(4),
    }[kind]
    element = bytes([field << 3 | kind]) + content
    size = draw.choice((1000, 30_000, 60_000))
    message = prefixed(b"\x0a\x07convnet" + element * (size // len(element)))
    method = draw.choice(METHODS)
    streams = draw.choice((1, 100, 400))
    frames = []
    for number in range(streams):
        stream = 2 * number + 1
        frames.append(headers(stream, method))
        for start in range(0, len(message), FRAME_BYTES):
            part = message[start : start + FRAME_BYTES]
            last = start + FRAME_BYTES >= len(message)
            frames.append(frame(DATA, END_STREAM if last else 0, stream, part))
    name = f"{method}: {streams} messages of {len(message):,} bytes of {element!r}"
    return name, (Repeated(b"".join(frames)),)


def _frames(draw: random.Random) -> tuple[str, tuple[Repeated, ...]]:
    kind, flags, stream, payload = draw.choice(
        (
            (PING, 0, 0, bytes(8)),
            (SETTINGS, 0, 0, b""),
            (SETTINGS, 0, 0, struct.pack(">HI", 4, 2**31 - 1) * 100),
            (WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)),
            (PRIORITY, 0, 1, bytes(5)),
            (UNKNOWN, 0, 0, bytes(1000)),
            (DATA, 0, 1, b""),
            (DATA, 0, 99, bytes(1000)),
            (CONTINUATION, 0, 1, bytes(1000)),
            (PUSH_PROMISE, 0, 1, bytes(100)),
        )
    )
    data = frame(kind, flags, stream, payload)
    times = min(draw.choice((100, 10_000, 1_000_000)), MOST // len(data))
    return f"{times:,} frames {data[:12]!r}", (Repeated(headers(1, INFER)), Repeated(data, times))


def _headers(draw: random.Random) -> tuple[str, tuple[Repeated, ...]]:
    """A header block without an end: long, of many fields, or of references to a table."""
    field = draw.choice(
        (encode([(b"x", b"y" * 10_000)]), encode([(b"a", b"b")]), b"\x82", b"\x40\x01a\x01b", b"\x3f\xe1\x1f")
    )
    block = (field * (FRAME_BYTES // len(field)))[:FRAME_BYTES]
    times = draw.choice((1, 10, 2000))
    first = frame(HEADERS, draw.choice((0, END_STREAM)), 1, block)
    more = frame(CONTINUATION, 0, 1, block)
    ends = frame(CONTINUATION, END_HEADERS, 1, b"")
    return f"header block of {times} frames of {field[:10]!r}", (
        Repeated(first),
        Repeated(more, times),
        Repeated(ends),
    )


def _streams(draw: random.Random) -> tuple[str, tuple[Repeated, ...]]:
    method, resets = draw.choice(METHODS), draw.random() < 0.5
    count = draw.choice((100, 2000, 100_000))
    body = draw.choice((b"", prefixed(b""), bytes(4), b"\0\xff\xff\xff\xff"))
    frames = []
    for stream in range(1, 2 * count, 2):
        frames += [headers(stream, method), frame(DATA, 0, stream, body)]
        if resets:
            frames.append(reset(stream))
    name = f"{method}: {count:,} streams with {body!r}" + (", each reset" if resets else "")
    return name, (Repeated(b"".join(frames)),)
