"""The Open Inference Protocol over gRPC, on a real server in the test's own event loop."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from service.client_budget import ClientBudget
from service.client_budget.identity import TrustedProxies
from service.config.limits import Limits
from service.config.settings import Settings
from service.inference.classifier import Classifier
from service.inference.data_plane import DataPlane
from service.inference.model import LoadedModel
from service.lifecycle.lifecycle import Lifecycle
from service.protocols.grpc import inference_pb2 as messages
from service.protocols.grpc.server import GrpcServer
from service.protocols.grpc.servicer import SERVICE
from service.telemetry.metrics import ServerMetrics
from tests.support.models.gray_classifier import LABELS, SIDE, level, publish_shades, rows, scores

EOF = grpc.aio.EOF  # type: ignore[attr-defined]
FOREVER_MS = 3_600_000
DEADLINE = 60.0


@dataclass(frozen=True)
class Served:
    """A server and a channel to it."""

    plane: DataPlane
    server: GrpcServer
    budget: ClientBudget
    channel: grpc.aio.Channel
    metrics: CollectorRegistry

    @property
    def model(self) -> LoadedModel:
        return self.plane.registry.models[0]

    def call(self, method: str, request: Any, **options: Any) -> Any:
        """Calls a method with a message, or with bytes that are sent as they are."""
        described = SERVICE.methods_by_name[method]
        if described.client_streaming:
            caller: Any = self.channel.stream_stream
        else:
            caller = self.channel.unary_unary
        multicallable = caller(
            f"/{SERVICE.full_name}/{method}",
            request_serializer=lambda each: each if isinstance(each, bytes) else each.SerializeToString(),
            response_deserializer=GetMessageClass(described.output_type).FromString,
        )
        return multicallable(request, **{"timeout": DEADLINE, **options})

    async def infer(self, message: messages.ModelInferRequest | bytes, **options: Any) -> Any:
        return await self.call("ModelInfer", message, **options)

    async def admitted(self, images: int) -> None:
        """Returns when exactly `images` images are admitted."""
        async with asyncio.timeout(DEADLINE):
            while self.model.admission.admitted != images:
                await asyncio.sleep(0)

    def counted(self, code: str, model: str = "shades") -> float | None:
        labels = {"model": model, "version": "1" if model else "", "protocol": "open_inference_grpc"}
        return self.metrics.get_sample_value("convserve_requests_total", {**labels, "code": code})


@asynccontextmanager
async def served(models: Path, **settings: Any) -> AsyncIterator[Served]:
    wired = Settings(models=models, **settings)
    metrics = CollectorRegistry()
    telemetry = ServerMetrics(metrics)
    plane = DataPlane.build(wired, telemetry)
    lifecycle = Lifecycle(wired, plane, telemetry)
    async with lifecycle.opened():
        budget = ClientBudget(wired.client_budget_bytes)
        server = GrpcServer(
            plane,
            lifecycle,
            telemetry,
            Limits.of(wired),
            budget,
            proxies=TrustedProxies.parse(wired.trusted_proxies),
        )
        async with (
            server.serving("127.0.0.1:0") as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            yield Served(plane, server, budget, channel, metrics)


def run(models: Path, test: Callable[[Served], Awaitable[None]], **settings: Any) -> None:
    async def main() -> None:
        async with served(models, **settings) as serving:
            await test(serving)

    asyncio.run(main())


def request(*levels: int, name: str = "shades") -> messages.ModelInferRequest:
    shape = (len(levels), SIDE, SIDE, 1)
    tensor = messages.ModelInferRequest.InferInputTensor(name="pixels", datatype="UINT8", shape=shape)
    contents = [rows(*levels).tobytes()]
    return messages.ModelInferRequest(model_name=name, inputs=[tensor], raw_input_contents=contents)


async def rejected(call: Awaitable[Any], code: grpc.StatusCode, sentence: str = ".") -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError, match=sentence) as caught:
        await call
    assert caught.value.code() == code
    return caught.value


def test_scores_equal_those_of_the_graph(repository: Path) -> None:
    async def test(serving: Served) -> None:
        response = await serving.infer(request(level(3), level(8)))
        (output,) = response.outputs
        assert (response.model_name, response.model_version) == ("shades", "1")
        assert (output.name, output.datatype, list(output.shape)) == ("probabilities", "FP32", [2, 10])
        assert not output.HasField("contents")
        (raw,) = response.raw_output_contents
        got = np.frombuffer(raw, "<f4").reshape(2, 10)
        np.testing.assert_allclose(got, scores(rows(level(3), level(8))), atol=1e-5)
        assert serving.counted("OK") == 1
        (statistics,) = (await serving.call("ModelStatistics", b"")).model_stats
        assert (statistics.inference_count, statistics.inference_stats.success.count) == (2, 1)

    run(repository, test)


def test_output_may_request_classes(repository: Path) -> None:
    async def test(serving: Served) -> None:
        message = request(level(3), level(8))
        message.outputs.add(name="probabilities").parameters["classification"].int64_param = 2
        response = await serving.infer(message)
        assert (response.outputs[0].datatype, list(response.outputs[0].shape)) == ("BYTES", [2, 2])
        assert response.raw_output_contents[0].count(b":3:shade 3") == 1
        assert response.raw_output_contents[0].count(b":8:shade 8") == 1

    run(repository, test)


def test_metadata_describes_the_server_and_the_model(repository: Path) -> None:
    async def test(serving: Served) -> None:
        named = {"name": "shades", "version": "1"}
        assert (await serving.call("ServerLive", b"")).live
        assert (await serving.call("ServerReady", b"")).ready
        assert (await serving.call("ServerMetadata", b"")).name == "convserve"
        metadata = await serving.call("ModelMetadata", messages.ModelMetadataRequest(**named))
        assert (metadata.versions, metadata.inputs[0].shape) == (["1"], [-1, SIDE, SIDE, 1])
        config = (await serving.call("ModelConfig", messages.ModelConfigRequest(**named))).config
        assert (config.max_batch_size, config.input[0].format) == (16, messages.ModelInput.FORMAT_NHWC)
        assert config.output[0].dims == [len(LABELS)]
        index = await serving.call("RepositoryIndex", messages.RepositoryIndexRequest())
        assert [(row.name, row.version, row.state) for row in index.models] == [("shades", "1", "READY")]

    run(repository, test)


def test_failed_versions_are_in_the_index_and_not_ready(repository: Path) -> None:
    (publish_shades(repository, "broken") / "model.onnx").write_bytes(b"")

    async def test(serving: Served) -> None:
        index = (await serving.call("RepositoryIndex", messages.RepositoryIndexRequest())).models
        assert {row.name: row.state for row in index} == {"shades": "READY", "broken": "UNAVAILABLE"}
        ready = await serving.call("RepositoryIndex", messages.RepositoryIndexRequest(ready=True))
        assert [row.name for row in ready.models] == ["shades"]
        for name, expected in (("shades", True), ("broken", False), ("unknown", False)):
            response = await serving.call("ModelReady", messages.ModelReadyRequest(name=name))
            assert response.ready is expected
        await rejected(serving.infer(request(1, name="broken")), grpc.StatusCode.UNAVAILABLE, "not served")
        health = health_pb2_grpc.HealthStub(serving.channel)
        checked = await health.Check(health_pb2.HealthCheckRequest(service="broken"))
        assert checked.status == health_pb2.HealthCheckResponse.NOT_SERVING

    run(repository, test)


def test_models_are_loaded_and_unloaded(repository: Path) -> None:
    async def test(serving: Served) -> None:
        watch = health_pb2_grpc.HealthStub(serving.channel).Watch(
            health_pb2.HealthCheckRequest(service="shades")
        )
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        name = messages.RepositoryModelUnloadRequest(model_name="shades").SerializeToString()
        for method, state in (("RepositoryModelUnload", "UNAVAILABLE"), ("RepositoryModelLoad", "READY")):
            await serving.call(method, name)
            index = await serving.call("RepositoryIndex", b"")
            assert {row.state for row in index.models} <= {state, "UNLOADING"}
        assert (await watch.read()).status != health_pb2.HealthCheckResponse.SERVING
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        for parameter in ("config", "file:1/model.onnx"):
            upload = messages.RepositoryModelLoadRequest(model_name="shades")
            upload.parameters[parameter].string_param = "{}"
            await rejected(
                serving.call("RepositoryModelLoad", upload.SerializeToString()),
                grpc.StatusCode.INVALID_ARGUMENT,
                f"the parameter '{parameter}' is not accepted",
            )
        unknown = messages.RepositoryModelLoadRequest(model_name="../shades").SerializeToString()
        await rejected(
            serving.call("RepositoryModelLoad", unknown),
            grpc.StatusCode.NOT_FOUND,
            "has no model '../shades'",
        )

    run(repository, test)


@pytest.mark.parametrize("method", ["SystemSharedMemoryRegister", "CudaSharedMemoryRegister"])
def test_unimplemented_methods_name_themselves(repository: Path, method: str) -> None:
    async def test(serving: Served) -> None:
        await rejected(serving.call(method, b""), grpc.StatusCode.UNIMPLEMENTED, f"{method} is not supported")

    run(repository, test)


def test_errors_have_the_codes_of_the_table(repository: Path) -> None:
    async def test(serving: Served) -> None:
        invalid = grpc.StatusCode.INVALID_ARGUMENT
        await rejected(serving.infer(request(1, name="x")), grpc.StatusCode.NOT_FOUND, "no model 'x'")
        await rejected(serving.infer(request(1, name="")), grpc.StatusCode.NOT_FOUND, "no model ''")
        wrong = messages.ModelInferRequest(model_name="shades", model_version="7")
        await rejected(serving.infer(wrong), grpc.StatusCode.NOT_FOUND, "no version '7'")
        await rejected(
            serving.infer(b"\xff\xff"), invalid, "is not a message of type inference.ModelInferRequest"
        )
        await rejected(serving.infer(request(*range(5))), grpc.StatusCode.RESOURCE_EXHAUSTED, "at most 4")
        other = messages.RepositoryIndexRequest(repository_name="other")
        await rejected(serving.call("RepositoryIndex", other), invalid, "one repository")
        assert (serving.counted("RESOURCE_EXHAUSTED"), serving.counted("NOT_FOUND", model="")) == (1, 3)

    run(repository, test, max_images=4)


def test_long_error_message_is_truncated(repository: Path) -> None:
    async def test(serving: Served) -> None:
        message = request(1)
        message.inputs[0].name = "ü" * 100_000
        error = await rejected(serving.infer(message), grpc.StatusCode.INVALID_ARGUMENT, "takes one input")
        assert len((error.details() or "").encode()) <= 2000

    run(repository, test)


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_message_over_the_limit_is_rejected(repository: Path, compression: grpc.Compression) -> None:
    """The limit applies to the decompressed size."""

    async def test(serving: Served) -> None:
        content = random.Random(1).randbytes(2**22)
        message = messages.ModelInferRequest(model_name="shades", raw_input_contents=[content])
        await rejected(serving.infer(message, compression=compression), grpc.StatusCode.RESOURCE_EXHAUSTED)
        del message.raw_input_contents[:]
        message.raw_input_contents.append(content[:-1000])
        await rejected(
            serving.infer(message, compression=compression), grpc.StatusCode.INVALID_ARGUMENT, "one input"
        )

    run(repository, test, grpc_max_message_bytes=2**22)


def test_full_queue_rejects_with_a_retry_pushback(repository: Path) -> None:
    async def test(serving: Served) -> None:
        first = asyncio.create_task(serving.infer(request(level(3))))
        await serving.admitted(1)
        malformed = request(1)
        malformed.raw_input_contents[0] = b""
        for message in (request(1), malformed):  # the second is rejected before its tensor is decoded
            error = await rejected(
                serving.infer(message), grpc.StatusCode.RESOURCE_EXHAUSTED, "queue is full"
            )
        trailer = dict(error.trailing_metadata())  # type: ignore[arg-type,var-annotated]
        assert int(trailer["grpc-retry-pushback-ms"]) >= 0
        assert serving.model.metrics.rejected["overloaded"].value == 2
        first.cancel()

    run(repository, test, max_images=1, queue_limit=1, max_queue_delay_ms=FOREVER_MS)


@pytest.mark.parametrize("source", ["parameter", "call", "default"])
def test_deadline_ends_a_call(repository: Path, source: str) -> None:
    async def test(serving: Served) -> None:
        message = request(1)
        if source == "parameter":
            message.parameters["timeout"].int64_param = 1000
        options = {"timeout": 0.2 if source == "call" else None}
        await rejected(serving.infer(message, **options), grpc.StatusCode.DEADLINE_EXCEEDED)
        await serving.admitted(0)
        async with asyncio.timeout(DEADLINE):
            while serving.counted("DEADLINE_EXCEEDED") != 1:  # the client does not wait for the server here
                await asyncio.sleep(0)

    default = 1 if source == "default" else FOREVER_MS
    run(repository, test, max_queue_delay_ms=FOREVER_MS, request_timeout_ms=default)


def test_call_may_set_a_later_deadline_than_the_default(repository: Path) -> None:
    async def test(serving: Served) -> None:
        waiting = asyncio.create_task(serving.infer(request(1), timeout=DEADLINE))
        await serving.admitted(1)
        await asyncio.gather(*(serving.infer(request(1), timeout=DEADLINE) for _ in range(15)), waiting)

    run(repository, test, max_queue_delay_ms=FOREVER_MS, request_timeout_ms=0.001)


def test_cancelled_call_does_not_affect_its_batch(repository: Path) -> None:
    async def test(serving: Served) -> None:
        calls = []
        for index in range(5):
            calls.append(serving.call("ModelInfer", request(level(index))))
            await serving.admitted(index + 1)
        calls.pop(2).cancel()
        await serving.admitted(4)
        await serving.plane.registry.close()
        responses = [await call for call in calls]
        best = [np.frombuffer(response.raw_output_contents[0], "<f4").argmax() for response in responses]
        assert best == [0, 1, 3, 4]
        assert (serving.counted("CANCELLED"), serving.counted("OK")) == (1, 4)

    run(repository, test, max_queue_delay_ms=FOREVER_MS)


def test_stream_responds_to_each_request_in_order(repository: Path) -> None:
    async def test(serving: Served) -> None:
        final = request(level(4))
        final.parameters["triton_enable_empty_final_response"].bool_param = True
        sent = [request(level(2)), request(1, name="unknown"), b"\xff\xff", b"\x1f\x8b\x08", final]
        responses = [response async for response in serving.call("ModelStreamInfer", iter(sent))]
        good, unknown, junk, damaged, last = responses
        assert "compressed message ends early" in damaged.error_message
        assert np.frombuffer(good.infer_response.raw_output_contents[0], "<f4").argmax() == 2
        assert good.error_message == ""
        assert "no model 'unknown'" in unknown.error_message
        assert not unknown.HasField("infer_response")
        assert "is not a message of type inference.ModelInferRequest" in junk.error_message
        assert last.infer_response.parameters["triton_final_response"].bool_param

    run(repository, test)


def test_rejected_message_is_not_kept(repository: Path) -> None:
    """The library keeps the exception that ends a call in a cycle; the message must not be part of it."""
    content = bytes(8_000_000)

    async def test(serving: Served) -> None:
        message = messages.ModelInferRequest(model_name="shades", raw_input_contents=[content])
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            for _ in range(5):
                await rejected(serving.infer(message), grpc.StatusCode.INVALID_ARGUMENT, "one input")
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            gc.enable()
        assert kept < 2 * len(content)

    run(repository, test)


def test_every_call_releases_what_it_holds(repository: Path) -> None:
    """Answers, rejections, cancellations, streams and the end of the server."""

    async def test(serving: Served) -> None:
        await serving.infer(request(1))
        await rejected(serving.infer(request(1, name="x")), grpc.StatusCode.NOT_FOUND)
        await rejected(serving.infer(b"\xff"), grpc.StatusCode.INVALID_ARGUMENT)
        await serving.infer(request(1), compression=grpc.Compression.Gzip)
        waiting = serving.call("ModelInfer", request(*range(SIDE)))
        await serving.admitted(SIDE)
        assert serving.budget.held > SIDE * SIDE * SIDE
        waiting.cancel()
        await serving.admitted(0)
        stream = serving.call("ModelStreamInfer", iter([request(2), request(1, name="x"), b"\xff"]))
        assert len([response async for response in stream]) == 3
        open_stream = serving.call("ModelStreamInfer", None)
        await open_stream.write(request(3))
        assert (await open_stream.read()).infer_response.model_name == "shades"
        assert {peer.held for peer in serving.budget.peers()} <= {0, serving.budget.held}
        serving.server.stop(DEADLINE)
        assert await open_stream.read() is EOF
        async with asyncio.timeout(DEADLINE):
            while serving.budget.held or any(peer.accounts for peer in serving.budget.peers()):
                await asyncio.sleep(0)

    run(repository, test, max_queue_delay_ms=100)


@pytest.mark.parametrize(("proxies", "client"), [(None, "127.0.0.1"), ("127.0.0.0/8", "192.0.2.7")])
def test_trusted_proxy_names_the_client(repository: Path, proxies: str | None, client: str) -> None:
    async def test(serving: Served) -> None:
        metadata = (("x-forwarded-for", "198.51.100.1, 192.0.2.7"),)
        waiting = serving.call("ModelInfer", request(1), metadata=metadata)
        await serving.admitted(1)
        assert {peer.identity for peer in serving.budget.peers() if peer.held} == {client}
        waiting.cancel()
        await serving.admitted(0)

    run(repository, test, trusted_proxies=proxies, max_queue_delay_ms=FOREVER_MS)


def test_internal_error_is_logged_and_not_sent(
    repository: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*args: object, **options: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(Classifier, "infer", broken)

    async def test(serving: Served) -> None:
        error = await rejected(serving.infer(request(1)), grpc.StatusCode.INTERNAL, "in the server.s log")
        assert "secret" not in (error.details() or "")
        assert serving.counted("INTERNAL") == 1

    with caplog.at_level(logging.ERROR):
        run(repository, test)
    assert "a secret" in caplog.text


def test_shutdown_finishes_calls_and_ends_watches(repository: Path) -> None:
    async def test(serving: Served) -> None:
        begun = asyncio.create_task(serving.infer(request(level(5))))
        await serving.admitted(1)
        stream = serving.call("ModelStreamInfer", None)
        watch = health_pb2_grpc.HealthStub(serving.channel).Watch(
            health_pb2.HealthCheckRequest(service="shades")
        )
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        serving.plane.registry.drain()
        serving.server.drain()
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert not (await serving.call("ServerReady", b"")).ready
        serving.plane.registry.stop()
        serving.server.stop(DEADLINE)
        assert await stream.read() is EOF
        assert await watch.read() is EOF
        await serving.plane.registry.close()
        response = await begun
        assert np.frombuffer(response.raw_output_contents[0], "<f4").argmax() == 5

    run(repository, test, max_queue_delay_ms=FOREVER_MS)


def test_health_is_checked_by_service_or_model_name(repository: Path) -> None:
    async def test(serving: Served) -> None:
        health = health_pb2_grpc.HealthStub(serving.channel)
        for name in ("", "inference.GRPCInferenceService", "grpc.health.v1.Health", "shades"):
            response = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert response.status == health_pb2.HealthCheckResponse.SERVING
        unknown = health_pb2.HealthCheckRequest(service="unknown")
        await rejected(health.Check(unknown), grpc.StatusCode.NOT_FOUND, "'unknown'")
        watch = health.Watch(unknown)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watch.cancel()

    run(repository, test)
