"""Shutdown: admitted requests are finished, and the process ends by its signal."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.http.client import get, post
from tests.support.models.gray_classifier import image, level
from tests.support.server.background_load import WARM_UP, Load
from tests.support.server.eventually import eventually
from tests.support.server.half_sent import half_sent, is_port_closed
from tests.support.server.metrics_page import MetricsPage, scrape_until
from tests.support.server.output_lines import DEADLINE
from tests.support.server.server_process import ServerProcess

BODY = image(level(7))
CLIENTS = 8

both_signals = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


def readiness(server: ServerProcess) -> tuple[int, str]:
    response = get(f"{server.url}/readyz")
    return response.status, response.json["status"]


@pytest.mark.parametrize(
    ("number", "workers"), [(signal.SIGTERM, "1"), (signal.SIGINT, "1"), (signal.SIGTERM, "2")]
)
def test_shutdown_under_load_interrupts_no_response(
    shades: Path, number: signal.Signals, workers: str
) -> None:
    with ServerProcess(shades, "--workers", workers) as server:
        with Load(server.url, BODY, clients=CLIENTS) as load:
            assert server.stop(number) == -number
            load.join()  # each ended only because the server had ended
        assert load.broken == []
        assert load.responses[200] >= CLIENTS * WARM_UP
        assert set(load.responses) <= {200, 503}
        assert server.stderr.text == ""


@both_signals
def test_shutdown_finishes_requests_in_progress(shades: Path, number: signal.Signals) -> None:
    with ServerProcess(shades) as server:
        with half_sent(server, BODY) as connection:
            server.send(number)
            eventually(lambda: is_port_closed(server))
            connection.send(BODY[len(BODY) // 2 :])
            response = connection.getresponse()
            assert response.status == 200
            assert b'"label":"shade 7"' in response.read()
        assert server.wait() == -number


def test_unfinished_request_does_not_delay_shutdown(shades: Path) -> None:
    with ServerProcess(shades, "--shutdown-timeout-s", "1") as server, half_sent(server, BODY) as connection:
        assert server.stop() == -signal.SIGTERM
        assert connection.getresponse().status == 503
        assert "Traceback" not in server.stderr.text


def test_readiness_fails_before_workers_close_the_port(shades: Path) -> None:
    with ServerProcess(shades, "--drain-delay-s", "3600", "--workers", "2") as server:
        assert readiness(server) == (200, "ready")
        assert MetricsPage.scrape(server.url).total("convserve_ready_workers") == 2
        server.send(signal.SIGTERM)
        eventually(lambda: readiness(server) == (503, "draining"))
        scrape_until(server.url, lambda page: page.total("convserve_ready_workers") == 0)
        assert post(f"{server.url}/classify", BODY).status == 200


def test_interrupt_of_workers_skips_the_drain(shades: Path) -> None:
    with ServerProcess(shades, "--drain-delay-s", "3600", "--workers", "2") as server:
        assert server.stop(signal.SIGINT) == -signal.SIGINT


def test_interrupt_ends_the_drain_of_workers(shades: Path) -> None:
    with ServerProcess(shades, "--drain-delay-s", "3600", "--workers", "2") as server:
        server.send(signal.SIGTERM)
        eventually(lambda: readiness(server) == (503, "draining"))
        assert server.stop(signal.SIGINT) == -signal.SIGTERM


def test_server_ends_after_the_drain_delay(shades: Path) -> None:
    with ServerProcess(shades, "--drain-delay-s", "0.2") as server:
        assert server.stop() == -signal.SIGTERM


def test_readiness_fails_before_the_port_closes_unless_interrupted(shades: Path) -> None:
    with ServerProcess(shades, "--drain-delay-s", "3600") as server:
        server.send(signal.SIGTERM)
        eventually(lambda: readiness(server) == (503, "draining"))
        assert post(f"{server.url}/classify", BODY).status == 200
        assert server.stop(signal.SIGINT) == -signal.SIGTERM


@both_signals
def test_workers_finish_their_requests_when_all_get_the_signal(shades: Path, number: signal.Signals) -> None:
    with ServerProcess(shades, "--workers", "2") as server:
        with half_sent(server, BODY) as connection:
            server.send(number, to_group=True)
            eventually(lambda: is_port_closed(server))
            connection.send(BODY[len(BODY) // 2 :])
            assert connection.getresponse().status == 200
        assert server.wait() == -number
        assert server.stderr.text == ""


def test_shutdown_flushes_pending_batches(shades: Path) -> None:
    arguments = ["--max-queue-delay-ms", "60000", "--shutdown-timeout-s", "1"]
    with ServerProcess(shades, *arguments) as server, ThreadPoolExecutor(1) as pool:
        response = pool.submit(post, f"{server.url}/classify", BODY)
        scrape_until(server.url, lambda page: page.total("convserve_queue_depth") == 1)
        assert server.stop() == -signal.SIGTERM
        assert response.result(DEADLINE).status == 200
