"""The access log and the traces of HTTP requests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.http.client import HttpResponse, send_request
from tests.support.models.gray_classifier import image, level
from tests.support.server.server_process import ServerProcess
from tests.support.server.trace_collector import collecting

BODY = image(level(7))
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
KEY = "a-key-that-must-not-be-logged"


def classify(server: ServerProcess, body: bytes = BODY, **headers: str) -> HttpResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    path = "/models/shades/classify?top_k=314159265"
    return send_request("POST", f"{server.url}{path}", body, {"Content-Type": "image/png", **named})


def test_line_describes_a_request_without_secrets(shades: Path) -> None:
    own = {"CONVSERVE_API_KEYS": f"mobile infer {KEY}"}
    arguments = ("--access-log", "--log-format", "json")
    with ServerProcess(shades, *arguments, own=own) as server:
        response = classify(server, traceparent=f"00-{TRACE}-{PARENT}-01", x_api_key=KEY)
        assert response.headers["traceparent"].startswith(f"00-{TRACE}-")
        assert PARENT not in response.headers["traceparent"]
        server.stderr.wait_for("status")
        classify(server, b"not an image", x_api_key=KEY)
        server.stderr.wait_for('"status":400')
        rejected = classify(server)
        server.stderr.wait_for('"status":401')
        log = server.stderr.text
    good, bad, unknown = map(json.loads, log.splitlines())
    assert (good["logger"], good["level"]) == ("convserve.access", "info")
    assert good["message"] == "POST /models/shades/classify"
    assert (good["status"], good["code"], good["model"], good["version"]) == (200, "200", "shades", "1")
    assert (good["protocol"], good["key"], good["client"]) == ("native", "mobile", "127.0.0.1")
    assert good["bytes"] == len(response.body)
    assert 0 < good["decode_ms"] + good["queue_ms"] + good["compute_ms"] <= good["ms"]
    assert response.headers["traceparent"] == f"00-{TRACE}-{good['span_id']}-01"
    assert (bad["status"], bad["model"]) == (400, "shades")
    assert "compute_ms" not in bad
    assert unknown["status"] == rejected.status == 401
    assert "model" not in unknown
    assert len({good["trace_id"], bad["trace_id"], unknown["trace_id"]}) == 3
    for secret in ("314159265", KEY, "not an image", "IHDR"):
        assert secret not in log


def test_text_line_cannot_be_forged(shades: Path) -> None:
    with ServerProcess(shades, "--access-log") as server:
        broken = send_request("GET", f"{server.url}/models/a%0AERROR%20all%20is%20lost", None, {})
        assert broken.status == 400  # before the application, so it is not logged
        send_request("GET", f"{server.url}/models/a%20status=200", None, {})
        server.stderr.wait_for(r"GET /models/a%20status=200 status=404 ")
        assert server.stderr.text.count("\n") == 1


def test_each_request_has_a_span_with_a_child_for_each_stage(shades: Path) -> None:
    with collecting() as (collector, endpoint), ServerProcess(shades, "--otlp-endpoint", endpoint) as server:
        response = classify(server, traceparent=f"00-{TRACE}-{PARENT}-01")
        classify(server, traceparent=f"00-{TRACE[::-1]}-{PARENT}-00")
        server.stop()  # exports the remaining spans
        spans = {span.name: span for span in collector.spans}
        assert collector.services == {"convserve"}
    assert list(spans) == ["compute", "queue", "decode", "HTTP POST"]
    whole = spans["HTTP POST"]
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE}
    assert whole.parent_span_id.hex() == PARENT
    assert response.headers["traceparent"] == f"00-{TRACE}-{whole.span_id.hex()}-01"
    attributes = {each.key: each.value for each in whole.attributes}
    assert attributes["http.response.status_code"].int_value == 200
    assert attributes["url.path"].string_value == "/models/shades/classify"
    assert attributes["convserve.model"].string_value == "shades"
    stages = [spans[name] for name in ("decode", "queue", "compute")]
    assert {span.parent_span_id for span in stages} == {whole.span_id}
    ends = [time for span in stages for time in (span.start_time_unix_nano, span.end_time_unix_nano)]
    assert ends == sorted(ends)
    assert ends[-1] <= whole.end_time_unix_nano


def test_unreachable_collector_does_not_affect_requests(shades: Path) -> None:
    with ServerProcess(shades, "--otlp-endpoint", "http://127.0.0.1:9/v1/traces") as server:
        assert classify(server).status == 200


@pytest.mark.parametrize("ratio", ["0", "1"])
def test_trace_ratio_sets_the_fraction_of_traced_requests(shades: Path, ratio: str) -> None:
    with collecting() as (collector, endpoint):
        with ServerProcess(shades, "--otlp-endpoint", endpoint, "--trace-ratio", ratio) as server:
            assert classify(server).headers["traceparent"].endswith(f"-0{ratio}")
            server.stop()
        assert bool(collector.spans) == (ratio == "1")
