"""JSON that is expensive to parse."""

from __future__ import annotations

import gzip
from functools import partial

from tests.attack.attacker import Attack, Attacker, post

JSON = "Content-Type: application/json"
GZIP = "Content-Encoding: gzip"
INFER = "/v2/models/convnet/infer"
PREDICT = "/v1/models/convnet:predict"
LISTS = 1_000_000
CONNECTIONS = 10
MOST = 32 << 20


class CompressedLists(Attack):
    """A million lists in a few kB, over ten connections."""

    name = "compressed lists"

    def __init__(self) -> None:
        values = b"[" + b"[]," * LISTS + b"[]]"
        bodies = {PREDICT: b'{"instances": ' + values + b"}", INFER: b'{"inputs": ' + values + b"}"}
        self._requests = [post(path, gzip.compress(body), JSON, GZIP) for path, body in bodies.items()]

    def play(self, attacker: Attacker) -> None:
        for request in self._requests:
            attacker.together([partial(attacker.send, request)] * CONNECTIONS)


class Brackets(Attack):
    """Bodies of 32 MiB of one character."""

    name = "brackets"

    def __init__(self) -> None:
        self._requests = [post(PREDICT, character * MOST, JSON) for character in (b"]", b"[", b'"', b"\\")]

    def play(self, attacker: Attacker) -> None:
        for request in self._requests:
            attacker.attempt(attacker.send, request)
            attacker.pause(0.2)


class LongNumbers(Attack):
    """Numbers of four thousand digits where an integer is expected."""

    name = "long numbers"

    def __init__(self) -> None:
        digits = "9" * 4000
        tensor = '{"name": "pixels", "datatype": "UINT8", "shape": [1, %s], "data": [%s]%s}'
        documents = (
            tensor % (digits, "1", ""),
            tensor % ("784", digits, ""),
            tensor % ("784", f"1e{digits}", ""),
            tensor % ("784", "", f', "parameters": {{"binary_data_size": {digits}}}'),
            tensor % ("784", "1", f', "parameters": {{"classification": {digits}}}'),
        )
        self._requests = [post(INFER, f'{{"inputs": [{document}]}}'.encode(), JSON) for document in documents]
        self._requests.append(post(f"/classify?top_k={digits}", b"x"))
        self._requests.append(post(INFER, b"{}", f"Inference-Header-Content-Length: {digits}"))
        self._requests.append(post("/classify", b"x", f"X-Request-Timeout-Ms: {digits}"))

    def play(self, attacker: Attacker) -> None:
        for request in self._requests:
            attacker.attempt(attacker.send, request)
            attacker.pause(0.05)
