"""Runs the compared servers as separate processes that serve the same model."""

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

from service.loadgen.process_stats import process_tree
from service.loadgen.types import Address

ROOT = Path(__file__).resolve().parent.parent
DEADLINE = 120.0
PAUSE = 0.002


@dataclass(frozen=True, slots=True)
class BenchmarkServer:
    """A server's name and the command that starts it, with the placeholders `{port}` and `{grpc}`."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that became ready `ready_seconds` after its process was started."""

    pid: int
    address: Address
    grpc: Address
    ready_seconds: float

    @property
    def processes(self) -> frozenset[int]:
        return process_tree([self.pid])


def convserve(models: Path, workers: int, *flags: str) -> BenchmarkServer:
    """Return this project's server with its default settings, over HTTP and gRPC."""
    command = [sys.executable, "-m", "service", "serve", "--models", str(models), "--workers", str(workers)]
    ports = ["--port", "{port}", "--grpc-port", "{grpc}", "--log-level", "warning"]
    return BenchmarkServer(f"convserve, {_workers(workers)}", (*command, *ports, *flags))


def baseline_fastapi(model: Path, workers: int) -> BenchmarkServer:
    """Return a minimal FastAPI server; `model` is a version's folder."""
    return _peer("naive FastAPI", "benchmarks.baselines.fastapi_server", workers, str(model / "model.onnx"))


def baseline_asgi(model: Path | None, workers: int) -> BenchmarkServer:
    """Return a minimal ASGI server; without a model it sends a constant response."""
    name = "bare ASGI" if model is not None else "hello"
    graph = [] if model is None else [str(model / "model.onnx")]
    return _peer(name, "benchmarks.baselines.asgi_server", workers, *graph)


def _peer(name: str, module: str, workers: int, *arguments: str) -> BenchmarkServer:
    command = (sys.executable, "-m", module, *arguments, "--workers", str(workers), "--port", "{port}")
    return BenchmarkServer(f"{name}, {_workers(workers)}", command)


def _workers(count: int) -> str:
    return f"{count} worker{'s' if count > 1 else ''}"


@contextmanager
def running(server: BenchmarkServer) -> Iterator[RunningServer]:
    """Run a server until the end of the block, which begins once it is ready.

    Raises:
        RuntimeError: the server did not become ready.
    """
    port, grpc = _free_ports(2)
    # Python may write compiled modules, which an installed server has; settings of the caller are removed.
    environment = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONDONTWRITEBYTECODE" and not name.startswith("CONVSERVE_")
    }
    command = [part.format(port=port, grpc=grpc) for part in server.command]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        _wait_until_ready(process, port)
        ready = time.perf_counter() - started
        yield RunningServer(process.pid, Address("127.0.0.1", port), Address("127.0.0.1", grpc), ready)
    finally:
        process.terminate()
        process.wait(DEADLINE)


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + DEADLINE
    while _status(port, "/readyz") != 200:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} did not become ready within {DEADLINE:g} s")
        time.sleep(PAUSE)


def _status(port: int, path: str) -> int | None:
    """Return the status of the response; None if the server does not listen yet."""
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
