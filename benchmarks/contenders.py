"""The servers that are measured against each other: processes of their own, on the same model."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
DEADLINE = 60.0
PAUSE = 0.002
BOUNDARY = "part"


@dataclass(frozen=True, slots=True)
class Contender:
    """A server by its name and by the command that starts it, but for its port."""

    name: str
    command: Sequence[str]


@dataclass(frozen=True, slots=True)
class Running:
    """A server that has answered `/readyz` with 200, `ready_seconds` after its process was started."""

    pid: int
    port: int
    ready_seconds: float

    def classify(self, picture: bytes) -> None:
        """Have one picture classified."""
        disposition = b'Content-Disposition: form-data; name="image"; filename="picture.png"'
        edge = f"--{BOUNDARY}".encode()
        body = b"\r\n".join([edge, disposition, b"", picture, edge + b"--", b""])
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        status = _status(self.port, "POST", "/classify", body, headers)
        if status != 200:
            raise RuntimeError(f"/classify answered {status}")


@contextmanager
def contenders(model: Path) -> Iterator[Sequence[Contender]]:
    """This server, with gRPC and without, and the peer; `model` is a version's folder, served alone."""
    with TemporaryDirectory() as repository:
        version = Path(repository, model.parent.name, model.name)
        version.parent.mkdir()
        version.symlink_to(model.resolve())
        serve = [sys.executable, "-m", "service", "serve", "--models", repository, "--log-level", "warning"]
        naive = [sys.executable, "-m", "benchmarks.naive", str(model.resolve() / "model.onnx")]
        yield (
            Contender("convserve", [*serve, "--grpc-port", "-1"]),
            Contender("convserve without gRPC", [*serve, "--grpc-port", "0"]),
            Contender("naive FastAPI", naive),
        )


@contextmanager
def running(contender: Contender) -> Iterator[Running]:
    """Start it, wait until it is ready, and end it with the block."""
    port = _free_port()
    # Compiled modules are kept, as an installed server has them.
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    command = [*contender.command, "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=own, stdout=subprocess.DEVNULL)
    try:
        _wait_until_ready(process, port)
        yield Running(process.pid, port, time.perf_counter() - started)
    finally:
        process.terminate()
        process.wait(DEADLINE)


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + DEADLINE
    while _status(port, "GET", "/readyz") != 200:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} did not become ready")
        time.sleep(PAUSE)


def _status(
    port: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> int | None:
    """The status of the answer; None where nobody answers."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)) as connection:
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            response.read()
        except ConnectionError:
            return None
        return response.status


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
