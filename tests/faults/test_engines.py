"""Failing and hanging engines: real graphs that fail or hang on white images."""

from __future__ import annotations

import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.conftest import FACTOR
from tests.support.http.client import HttpResponse, get, post, send_request
from tests.support.models.failing_graphs import WHITE, failing, hanging
from tests.support.models.gray_classifier import image, level, publish_shades
from tests.support.server.background_load import Load
from tests.support.server.eventually import eventually
from tests.support.server.metrics_page import MetricsPage, scrape_until
from tests.support.server.server_process import ServerProcess

GOOD, BAD = image(level(7)), image(WHITE)
EVERY = 7


def classify(server: ServerProcess, model: str, body: bytes, timeout_ms: int = 30_000) -> HttpResponse:
    headers = {"Content-Type": "image/png", "X-Request-Timeout-Ms": str(timeout_ms)}
    return send_request("POST", f"{server.url}/models/{model}/classify", body, headers)


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    models = tmp_path_factory.mktemp("models")
    publish_shades(models, onnx_graph=failing())
    with ServerProcess(models) as server:
        yield server


def test_only_the_failing_run_fails(fragile: ServerProcess) -> None:
    bodies = [BAD if number % EVERY == 0 else GOOD for number in range(100 * FACTOR)]
    responses = [post(f"{fragile.url}/classify", body) for body in bodies]
    assert [response.status for response in responses] == [500 if body is BAD else 200 for body in bodies]
    assert responses[0].json == {"error": "the engine failed on the batch of this request"}


def test_only_the_failing_batches_fail_under_load(fragile: ServerProcess) -> None:
    already = int(MetricsPage.scrape(fragile.url).total("convserve_requests_total", code="500"))
    with ThreadPoolExecutor(8) as pool, Load(fragile.url, GOOD, clients=8, reconnect=True) as load:
        bad = list(pool.map(lambda _: post(f"{fragile.url}/classify", BAD).status, range(50 * FACTOR)))
    assert set(bad) == {500}
    assert set(load.responses) <= {200, 500}
    assert load.responses[200] > 0
    assert load.broken == []
    page = scrape_until(fragile.url, MetricsPage.is_idle)
    # The responses, the metrics and the log agree for each batch.
    failed = already + len(bad) + load.responses[500]
    assert page.total("convserve_requests_total", code="500") == failed
    # The log is complete, but read by another thread.
    eventually(lambda: get(f"{fragile.url}/livez").status == 200 and failed_requests(fragile) >= failed)
    assert failed_requests(fragile) == failed
    assert post(f"{fragile.url}/classify", GOOD).status == 200


def failed_requests(server: ServerProcess) -> int:
    return sum(map(int, re.findall(r"a batch of (\d+) requests failed", server.stderr.text)))


@pytest.fixture
def hung(tmp_path: Path) -> Iterator[ServerProcess]:
    """Serves a working model and one whose engine is about to hang."""
    publish_shades(tmp_path, "good")
    publish_shades(tmp_path, "hanging", onnx_graph=hanging())
    with ServerProcess(tmp_path, "--engine-timeout-s", "1", "--shutdown-timeout-s", "1") as server:
        assert classify(server, "hanging", GOOD).status == 200
        yield server


def test_hanging_engine_does_not_affect_other_models(hung: ServerProcess) -> None:
    assert classify(hung, "hanging", BAD, timeout_ms=500).status == 504
    with ThreadPoolExecutor(20) as pool:  # each waits for the engine until its timeout
        waiting = pool.map(lambda _: classify(hung, "hanging", GOOD, timeout_ms=500).status, range(20))
        assert Counter(waiting) == {504: 20}
    eventually(lambda: get(f"{hung.url}/readyz").status == 503)
    assert get(f"{hung.url}/readyz").json["status"] == "hanging"
    assert get(f"{hung.url}/livez").status == 200
    assert classify(hung, "good", GOOD).status == 200
    page = scrape_until(hung.url, MetricsPage.is_idle)
    assert page.total("convserve_requests_total", model="hanging", code="504") == 21
    assert hung.stop() == -signal.SIGTERM
    assert "the requests to hanging version 1 did not finish within" in hung.stderr.text


def test_supervisor_kills_a_worker_with_a_hanging_engine(tmp_path: Path) -> None:
    publish_shades(tmp_path, "hanging", onnx_graph=hanging())
    with ServerProcess(tmp_path, "--workers", "2", "--shutdown-timeout-s", "1") as server:
        assert classify(server, "hanging", BAD, timeout_ms=200).status == 504
        server.send(signal.SIGTERM)
        assert server.wait() == -signal.SIGTERM


@pytest.mark.measures
def test_hanging_engines_delay_the_shutdown_by_one_timeout_together(tmp_path: Path) -> None:
    names = [f"hanging-{number}" for number in range(4)]
    for name in names:
        publish_shades(tmp_path, name, onnx_graph=hanging())
    with ServerProcess(tmp_path, "--shutdown-timeout-s", "3") as server:
        for name in names:
            assert classify(server, name, BAD, timeout_ms=200).status == 504
        began = time.monotonic()
        assert server.stop() == -signal.SIGTERM
        assert time.monotonic() - began < 9  # one after another, they took 12 s
        for name in names:
            assert f"the requests to {name} version 1 did not finish within" in server.stderr.text
