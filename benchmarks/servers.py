"""The servers that are measured against each other: processes of their own, on the same model."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.loadgen.process_stats import family
from service.loadgen.types import Address

ROOT = Path(__file__).resolve().parent.parent
DEADLINE = 120.0
PAUSE = 0.002


@dataclass(frozen=True, slots=True)
class Contender:
    """A server by its name and the command that starts it, with `{port}` and `{grpc}` where they belong."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Running:
    """A server that has answered `/readyz` with 200, `ready_seconds` after its process was started."""

    pid: int
    address: Address
    grpc: Address
    ready_seconds: float

    @property
    def processes(self) -> frozenset[int]:
        return family([self.pid])


def convserve(models: Path, workers: int, *flags: str) -> Contender:
    """This server, with gRPC, as it is by default."""
    command = [sys.executable, "-m", "service", "serve", "--models", str(models), "--workers", str(workers)]
    ports = ["--port", "{port}", "--grpc-port", "{grpc}", "--log-level", "warning"]
    return Contender(f"convserve, {_workers(workers)}", (*command, *ports, *flags))


def naive(model: Path, workers: int) -> Contender:
    """FastAPI as one writes it in an afternoon; `model` is a version's folder."""
    return _peer("naive FastAPI", "benchmarks.baselines.fastapi_server", workers, str(model / "model.onnx"))


def bare(model: Path | None, workers: int) -> Contender:
    """ASGI without a framework; without a model it only greets."""
    name = "bare ASGI" if model is not None else "hello"
    graph = [] if model is None else [str(model / "model.onnx")]
    return _peer(name, "benchmarks.baselines.asgi_server", workers, *graph)


def _peer(name: str, module: str, workers: int, *arguments: str) -> Contender:
    command = (sys.executable, "-m", module, *arguments, "--workers", str(workers), "--port", "{port}")
    return Contender(f"{name}, {_workers(workers)}", command)


def _workers(count: int) -> str:
    return f"{count} worker{'s' if count > 1 else ''}"


@contextmanager
def running(contender: Contender) -> Iterator[Running]:
    """Start it, wait until it is ready, and end it with the block."""
    port, grpc = _free_ports(2)
    # Compiled modules are kept, as an installed server has them; its settings are nobody's but ours.
    own = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONDONTWRITEBYTECODE" and not name.startswith("CONVSERVE_")
    }
    command = [part.format(port=port, grpc=grpc) for part in contender.command]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, env=own, stdout=subprocess.DEVNULL)
    try:
        _wait_until_ready(process, port)
        ready = time.perf_counter() - started
        yield Running(process.pid, Address("127.0.0.1", port), Address("127.0.0.1", grpc), ready)
    finally:
        process.terminate()
        process.wait(DEADLINE)


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + DEADLINE
    while _status(port, "/readyz") != 200:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} did not become ready")
        time.sleep(PAUSE)


def _status(port: int, path: str) -> int | None:
    """The status of the answer; None where nobody answers."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)) as connection:
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
        except (ConnectionError, http.client.HTTPException):
            return None
        return response.status


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
