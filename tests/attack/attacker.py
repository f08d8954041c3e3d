"""One hostile client: where it connects to, and what it counts."""

from __future__ import annotations

import http.client
import socket
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ClassVar

from tests.attack.http2 import Http2

Address = tuple[str, int]
TIMEOUT = 20.0
RECEIVED = 1 << 16


@dataclass(slots=True)
class Attacker:
    """Connects from its own address.

    Attributes:
        outcomes: the number of responses by status, and of lost connections by error.
    """

    http: Address
    grpc: Address
    source: str
    outcomes: Counter[str] = field(default_factory=Counter)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.http, TIMEOUT, (self.source, 0))

    def connect_grpc(self) -> Http2:
        return Http2(self.raw_grpc())

    def raw_grpc(self) -> socket.socket:
        return socket.create_connection(self.grpc, TIMEOUT, (self.source, 0))

    def send(self, *parts: bytes) -> None:
        """Sends a request over a new connection and counts the status of the response, which is read."""
        with self.connect() as connection:
            for part in parts:
                connection.sendall(part)
            self.count_response(connection)

    def send_endless(self, start: bytes, piece: bytes, most: int) -> None:
        """Send `start`, and then the piece again and again, up to `most` bytes."""
        with self.connect() as connection:
            connection.sendall(start)
            for _ in range(most // len(piece)):
                connection.sendall(piece)
            self.count_response(connection)

    def count_response(self, connection: socket.socket) -> None:
        response = http.client.HTTPResponse(connection)
        try:
            response.begin()
            while response.read(RECEIVED):
                pass
        except http.client.HTTPException as error:
            raise ConnectionResetError(str(error)) from error
        self.outcomes[str(response.status)] += 1

    def call(self, method: str, *messages: bytes) -> None:
        """Sends a gRPC call over a new connection and counts its status."""
        connection = self.connect_grpc()
        try:
            for message in messages:
                status, _ = connection.unary(method, message)
                self.outcomes[f"grpc {status}"] += 1
        finally:
            connection.close()

    def together(self, parts: Sequence[Callable[[], object]]) -> None:
        """Runs all at the same time; one that is cut off does not end the others."""
        with ThreadPoolExecutor(len(parts)) as pool:
            for each in [pool.submit(self.attempt, part) for part in parts]:
                each.result()

    def attempt(self, part: Callable[..., object], *arguments: object) -> None:
        """Calls a part that the server may cut off, which is counted."""
        try:
            part(*arguments)
        except OSError as error:
            self.outcomes[type(error).__name__] += 1

    def pause(self, seconds: float) -> None:
        """Leaves the processor to the server and its other clients."""
        time.sleep(seconds)


class Attack(ABC):
    """An attack; its constructor makes what is sent, before the time of the attack begins."""

    name: ClassVar[str]

    @abstractmethod
    def play(self, attacker: Attacker) -> None:
        """Plays one round.

        Raises:
            OSError: the server cut the attacker off.
        """


def head(method: str, path: str, *fields: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *fields, "", ""]).encode("latin-1")


def post(path: str, body: bytes, *fields: str) -> bytes:
    return head("POST", path, f"Content-Length: {len(body)}", *fields) + body
