"""gRPC messages that are large, or that are small and become large when they are read."""

from __future__ import annotations

from functools import partial

from service.protocols.grpc.inference_pb2 import ModelInferRequest
from tests.attack.attacker import Attack, Attacker
from tests.attack.http2 import prefixed

INFER = "/inference.GRPCInferenceService/ModelInfer"
EMPTY_INPUTS = 10_000_000
EMPTY_OUTPUTS = 3_000_000
CONTENTS = 57_000_000
BODY = 60_000_000
CALLS = 24
CALLS_PER_CONNECTION = 8
HELD = 10.0


class SmallElements(Attack):
    """Millions of empty inputs, of empty outputs, of numbers in a tensor of 784, and of dimensions."""

    name = "gRPC elements"

    def __init__(self) -> None:
        start = ModelInferRequest(model_name="convnet").SerializeToString()
        self._messages = (
            start + b"\x2a\x00" * EMPTY_INPUTS,
            start + b"\x32\x00" * EMPTY_OUTPUTS,
            start + _input(_field(5, _field(4, b"\x07" * CONTENTS))),
            start + _input(_field(3, b"\x01" * CONTENTS)),
            start + b"\x3a\x00" * EMPTY_INPUTS,
        )

    def play(self, attacker: Attacker) -> None:
        for message in self._messages:
            attacker.attempt(attacker.call, INFER, message)


class LargeBodies(Attack):
    """Twenty-four calls at the same time of which the last byte of 60 MB is missing."""

    name = "gRPC bodies"

    def __init__(self) -> None:
        message = ModelInferRequest(model_name="convnet", raw_input_contents=[bytes(BODY)])
        self._body = prefixed(message.SerializeToString())

    def play(self, attacker: Attacker) -> None:
        attacker.together([partial(self._hold, attacker)] * (CALLS // CALLS_PER_CONNECTION))

    def _hold(self, attacker: Attacker) -> None:
        connection = attacker.connect_grpc()
        try:
            streams = [connection.open(INFER) for _ in range(CALLS_PER_CONNECTION)]
            for stream in streams:
                connection.send(stream, self._body[:-1], end=False)
            attacker.pause(HELD)
            for stream in streams:
                connection.send(stream, self._body[-1:])
                attacker.outcomes[f"grpc {connection.status(stream)}"] += 1
        finally:
            connection.close()


def _input(content: bytes) -> bytes:
    """The field of a request that holds an input named `pixels`."""
    return _field(5, _field(1, b"pixels") + _field(2, b"UINT8") + content)


def _field(number: int, content: bytes) -> bytes:
    """A field of protobuf that has a length."""
    length, digits = len(content), bytearray()
    while length >= 128:
        digits.append(length % 128 + 128)
        length //= 128
    return bytes([number << 3 | 2, *digits, length]) + content
