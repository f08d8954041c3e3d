"""The gRPC port of a real server: startup, workers, shutdown, and no port at all."""

from __future__ import annotations

import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from service.protocols.grpc import inference_pb2 as messages
from tests.support.models.gray_classifier import level, rows
from tests.support.server.eventually import eventually
from tests.support.server.metrics_page import MetricsPage, scrape_until
from tests.support.server.output_lines import DEADLINE
from tests.support.server.procfs import PROC, connections, needs_procfs, workers
from tests.support.server.server_process import FREE_GRPC_PORT, ServerProcess, convserve

CLIENTS = 8
WARM_UP = 20
CONNECTIONS = 64
A_WHILE_MS = "2000"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

one_or_two_workers = pytest.mark.parametrize("workers_wanted", ["1", "2"])


@contextmanager
def connected(server: ServerProcess) -> Iterator[grpc.Channel]:
    """A channel with its own connection."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(server.grpc_address, options=options) as channel:
        yield channel


def request(value: int) -> messages.ModelInferRequest:
    array = rows(value)
    tensor = messages.ModelInferRequest.InferInputTensor(name="pixels", datatype="UINT8", shape=array.shape)
    return messages.ModelInferRequest(
        model_name="shades", inputs=[tensor], raw_input_contents=[array.tobytes()]
    )


def infer(channel: grpc.Channel) -> Any:
    return channel.unary_unary(
        "/inference.GRPCInferenceService/ModelInfer",
        request_serializer=messages.ModelInferRequest.SerializeToString,
        response_deserializer=messages.ModelInferResponse.FromString,
    )


def health(channel: grpc.Channel) -> Any:
    status: Any = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE)
    return status.status


class GrpcLoad:
    """Clients that call continuously until the server ends; `codes` counts their statuses."""

    def __init__(self, server: ServerProcess) -> None:
        self.codes: Counter[grpc.StatusCode] = Counter()
        self._server = server
        self._lock = threading.Lock()
        self._warm = threading.Semaphore(0)
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()
        for _ in self._threads:
            assert self._warm.acquire(timeout=DEADLINE)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()

    def _run(self) -> None:
        completed = 0
        with connected(self._server) as channel:
            call = infer(channel)
            code = grpc.StatusCode.OK
            while code == grpc.StatusCode.OK:
                try:
                    call(request(level(7)), timeout=DEADLINE)
                except grpc.RpcError as error:
                    code = error.code()
                completed += 1
                if completed == WARM_UP:
                    self._warm.release()
                with self._lock:
                    self.codes[code] += 1


@one_or_two_workers
def test_grpc_port_is_announced_and_serves(shades: Path, workers_wanted: str) -> None:
    with (
        ServerProcess(shades, *FREE_GRPC_PORT, "--workers", workers_wanted) as server,
        connected(server) as channel,
    ):
        assert f"  grpc: {server.grpc_address}" in server.stdout.text.splitlines()
        assert health(channel) == SERVING
        assert infer(channel)(request(level(7)), timeout=DEADLINE).model_name == "shades"
        assert server.stop() == -signal.SIGTERM
        assert server.stderr.text == ""


def test_reflection_lists_the_services(shades: Path) -> None:
    with ServerProcess(shades, *FREE_GRPC_PORT) as server, connected(server) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert set(database.get_services()) == {
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
            "inference.GRPCInferenceService",
        }
        file = database.FindFileContainingSymbol("inference.GRPCInferenceService")
        (service,) = file.service
        assert "ModelInfer" in {method.name for method in service.method}


@needs_procfs
def test_grpc_is_not_imported_when_turned_off(shades: Path) -> None:
    with ServerProcess(shades, "--grpc-port", "0") as server:
        assert "grpc" not in server.stdout.text
        assert "cygrpc" not in (PROC / str(server.pid) / "maps").read_text()


@one_or_two_workers
def test_port_in_use_is_an_error(shades: Path, workers_wanted: str) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
        port = str(other.getsockname()[1])
        ports = ("--port", "0", "--grpc-port", port)
        result = convserve("serve", *ports, "--models", shades, "--workers", workers_wanted)
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"convserve: cannot listen on 127.0.0.1 port {port}: ")
    assert "--grpc-port 0 turns gRPC off" in line


@needs_procfs
def test_all_workers_get_connections_and_one_page_counts_them(shades: Path) -> None:
    with ServerProcess(shades, *FREE_GRPC_PORT, "--workers", "2") as server:
        with ExitStack() as stack:
            for _ in range(CONNECTIONS):
                channel = stack.enter_context(connected(server))
                infer(channel)(request(level(7)), timeout=DEADLINE)
            port = int(server.grpc_address.rpartition(":")[2])
            shares = [connections(pid, port) for pid in workers(server.pid)]
        assert sum(shares) == CONNECTIONS
        assert all(shares), shares
        page = MetricsPage.scrape(server.url)
        labels = {"protocol": "open_inference_grpc", "code": "OK", "model": "shades"}
        assert page.total("convserve_requests_total", **labels) == CONNECTIONS


@one_or_two_workers
def test_shutdown_under_load_interrupts_no_response(shades: Path, workers_wanted: str) -> None:
    with ServerProcess(shades, *FREE_GRPC_PORT, "--workers", workers_wanted) as server:
        load = GrpcLoad(server)
        assert server.stop() == -signal.SIGTERM
        load.join()
        assert load.codes[grpc.StatusCode.OK] >= CLIENTS * (WARM_UP - 1)
        assert set(load.codes) == {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
        assert server.stderr.text == ""


def test_shutdown_finishes_admitted_calls(shades: Path) -> None:
    with (
        ServerProcess(shades, *FREE_GRPC_PORT, "--max-queue-delay-ms", A_WHILE_MS) as server,
        connected(server) as channel,
    ):
        call = infer(channel).future(request(level(7)), timeout=DEADLINE)
        scrape_until(server.url, lambda page: page.total("convserve_queue_depth") == 1)
        server.send(signal.SIGTERM)
        assert call.result().model_name == "shades"
        assert server.wait() == -signal.SIGTERM


def test_health_fails_before_the_port_closes(shades: Path) -> None:
    with (
        ServerProcess(shades, *FREE_GRPC_PORT, "--drain-delay-s", "3600") as server,
        connected(server) as channel,
    ):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=DEADLINE)
        assert next(watch).status == SERVING
        server.send(signal.SIGTERM)
        assert next(watch).status == NOT_SERVING
        eventually(lambda: health(channel) == NOT_SERVING)
        assert infer(channel)(request(level(7)), timeout=DEADLINE).model_name == "shades"
        assert server.stop(signal.SIGINT) == -signal.SIGTERM


def test_open_watches_do_not_delay_shutdown(shades: Path) -> None:
    with ServerProcess(shades, *FREE_GRPC_PORT, "--shutdown-timeout-s", "3600") as server:
        with connected(server) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(
                health_pb2.HealthCheckRequest(), timeout=DEADLINE
            )
            assert next(watch).status == SERVING
            assert server.stop() == -signal.SIGTERM
            assert [each.status for each in watch] == [NOT_SERVING]
        assert server.stderr.text == ""
