"""The access log and the traces of gRPC calls."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from service.protocols.grpc import inference_pb2 as messages
from tests.support.models.gray_classifier import image, level
from tests.support.server.metrics_page import scrape_until
from tests.support.server.output_lines import DEADLINE
from tests.support.server.server_process import FREE_GRPC_PORT, ServerProcess
from tests.support.server.trace_collector import collecting

SERVICE = "/inference.GRPCInferenceService"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = ("traceparent", f"00-{TRACE}-{PARENT}-01")
KEY = "a-key-that-must-not-be-logged"
JSON_LOG = ("--access-log", "--log-format", "json")


@contextmanager
def connected(server: ServerProcess) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.grpc_address) as channel:
        yield channel


def request(name: str = "shades") -> messages.ModelInferRequest:
    """One encoded image, so that the decode stage takes time as well."""
    file = image(level(7))
    tensor = messages.ModelInferRequest.InferInputTensor(name="pixels", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(file)
    return messages.ModelInferRequest(model_name=name, inputs=[tensor])


def call(
    channel: grpc.Channel, method: str, message: Any, *metadata: tuple[str, str]
) -> tuple[bytes, grpc.StatusCode, dict[str, str]]:
    """The response's bytes, the status and the trailing metadata of a unary call."""
    invoke: Any = channel.unary_unary(
        method, request_serializer=lambda each: each.SerializeToString(), response_deserializer=bytes
    )
    try:
        response, ended = invoke.with_call(message, timeout=DEADLINE, metadata=metadata)
    except grpc.RpcError as error:
        response, ended = b"", error
    return response, ended.code(), dict(ended.trailing_metadata())


def stream(channel: grpc.Channel, requests: Iterable[messages.ModelInferRequest]) -> Any:
    open_stream: Any = channel.stream_stream(
        f"{SERVICE}/ModelStreamInfer",
        request_serializer=messages.ModelInferRequest.SerializeToString,
        response_deserializer=bytes,
    )
    return open_stream(iter(requests), timeout=DEADLINE)


def log_lines(server: ServerProcess, count: int) -> list[dict[str, Any]]:
    """The first lines of the log, as soon as there are so many."""
    server.stderr.wait_for(rf"(?:.*\n){{{count}}}")
    return [json.loads(line) for line in server.stderr.text.splitlines()]


def test_each_call_has_a_line_without_secrets(shades: Path) -> None:
    own = {"CONVSERVE_API_KEYS": f"mobile infer,admin {KEY}"}
    key = ("x-api-key", KEY)
    with ServerProcess(shades, *FREE_GRPC_PORT, *JSON_LOG, own=own) as server, connected(server) as channel:
        response, _, trailing = call(channel, f"{SERVICE}/ModelInfer", request(), key, TRACEPARENT)
        call(channel, f"{SERVICE}/ModelInfer", request("unknown"), key)
        _, denied, denied_trailing = call(channel, f"{SERVICE}/ModelInfer", request())
        _, unknown, _ = call(channel, "/a.Service/Method", request(), key)
        good, missing, unauthenticated, not_found = log_lines(server, 4)
        log = server.stderr.text
    assert (good["logger"], good["message"]) == ("convserve.access", f"{SERVICE}/ModelInfer")
    assert (good["status"], good["code"], good["model"], good["version"]) == ("OK", "OK", "shades", "1")
    assert (good["protocol"], good["key"], good["client"]) == ("open_inference_grpc", "mobile", "127.0.0.1")
    assert good["bytes"] == len(response)
    assert 0 < good["decode_ms"] + good["queue_ms"] + good["compute_ms"] <= good["ms"]
    assert trailing["traceparent"] == f"00-{TRACE}-{good['span_id']}-01"
    assert good["trace_id"] == TRACE
    assert (missing["status"], missing["bytes"]) == ("NOT_FOUND", 0)
    assert "model" not in missing
    assert unauthenticated["status"] == denied.name == "UNAUTHENTICATED"
    assert "key" not in unauthenticated
    assert denied_trailing["traceparent"].split("-")[1] == unauthenticated["trace_id"]
    assert not_found["status"] == unknown.name == "UNIMPLEMENTED"
    assert not_found["message"] == "/a.Service/Method"
    for secret in (KEY, "IHDR"):
        assert secret not in log


def test_overload_keeps_its_pushback_and_its_trace(shades: Path) -> None:
    hour_ms = "3600000"
    limits = ("--queue-limit", "1", "--max-images", "1", "--max-queue-delay-ms", hour_ms)
    with ServerProcess(shades, *FREE_GRPC_PORT, *JSON_LOG, *limits) as server, connected(server) as channel:
        waiting = stream(channel, [request()])
        scrape_until(server.url, lambda page: page.total("convserve_queue_depth") == 1)
        _, code, trailing = call(channel, f"{SERVICE}/ModelInfer", request())
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert {"traceparent", "grpc-retry-pushback-ms"} <= set(trailing)
        waiting.cancel()
        server.stderr.wait_for('"status":"CANCELLED"')


def test_stream_has_one_line_that_counts_its_messages(shades: Path) -> None:
    with ServerProcess(shades, *FREE_GRPC_PORT, *JSON_LOG) as server, connected(server) as channel:
        responses = list(stream(channel, [request(), request("unknown"), request()]))
        (line,) = log_lines(server, 1)
    assert line["message"] == f"{SERVICE}/ModelStreamInfer"
    assert (line["status"], line["messages"], line["failed"]) == ("OK", 3, 1)
    assert (line["model"], line["version"]) == ("shades", "1")
    assert "code" not in line
    assert line["bytes"] == sum(map(len, responses))
    assert 0 < line["compute_ms"] <= line["ms"]


def test_text_line_cannot_be_forged(shades: Path) -> None:
    with ServerProcess(shades, *FREE_GRPC_PORT, "--access-log") as server, connected(server) as channel:
        call(channel, "/a b ERROR", request())
        server.stderr.wait_for(r": '/a b ERROR' status=UNIMPLEMENTED ")
        assert server.stderr.text.count("\n") == 1


@pytest.mark.parametrize("streaming", [False, True])
def test_each_call_has_a_span_with_a_child_for_each_stage(shades: Path, streaming: bool) -> None:
    with (
        collecting() as (collector, endpoint),
        ServerProcess(shades, *FREE_GRPC_PORT, "--otlp-endpoint", endpoint) as server,
    ):
        with connected(server) as channel:
            if streaming:
                assert len(list(stream(channel, [request(), request()]))) == 2
            else:
                call(channel, f"{SERVICE}/ModelInfer", request(), TRACEPARENT)
            call(channel, "/a.Service/Method", request())
        server.stop()  # exports the remaining spans
    unknown = collector.spans.pop()
    whole = collector.spans.pop()
    method = "ModelStreamInfer" if streaming else "ModelInfer"
    assert (whole.name, unknown.name) == (f"{SERVICE[1:]}/{method}", "unknown method")
    assert streaming or (whole.trace_id.hex(), whole.parent_span_id.hex()) == (TRACE, PARENT)
    attributes = {each.key: each.value for each in whole.attributes}
    assert attributes["rpc.system"].string_value == "grpc"
    assert attributes["rpc.service"].string_value == SERVICE[1:]
    assert attributes["rpc.method"].string_value == method
    assert attributes["rpc.grpc.status_code"].int_value == 0
    assert attributes["convserve.model"].string_value == "shades"
    stages = ["compute", "queue", "decode"] * (2 if streaming else 1)
    assert [span.name for span in collector.spans] == stages
    assert {span.parent_span_id for span in collector.spans} == {whole.span_id}
