"""Several workers share a port and a metrics page, and are replaced when they end."""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from service.config.settings import Settings
from tests.support.http.client import get, post
from tests.support.models.gray_classifier import image, level
from tests.support.server.background_load import Load
from tests.support.server.eventually import eventually
from tests.support.server.half_sent import half_sent, is_port_closed
from tests.support.server.metrics_page import MetricsPage, scrape_until
from tests.support.server.output_lines import DEADLINE
from tests.support.server.procfs import (
    connections,
    is_importing,
    listens,
    needs_procfs,
    wait_for_end,
    workers,
)
from tests.support.server.server_process import ServerProcess

BODY = image(level(7))
# The kernel assigns all of them to the same of two workers once in 2^63 times.
CONNECTIONS = 64
# Long enough for a worker to start to listen if it does not wait for the others.
LOOKS = 50
QUEUE_LIMIT = int(Settings.model_fields["queue_limit"].default)

pytestmark = needs_procfs


@pytest.fixture(scope="module")
def pair(shades: Path) -> Iterator[ServerProcess]:
    """A server of two workers; each test must leave two."""
    with ServerProcess(shades, "--workers", "2") as server:
        yield server


@pytest.fixture(scope="module")
def trio(shades: Path) -> Iterator[ServerProcess]:
    with ServerProcess(shades, "--workers", "3") as server:
        yield server


@pytest.fixture(params=["pair", "trio"])
def several(request: pytest.FixtureRequest) -> ServerProcess:
    server: ServerProcess = request.getfixturevalue(request.param)
    return server


def test_no_worker_listens_before_all_have_loaded(shades: Path) -> None:
    """The first worker to listen would get every connection that is opened in the meantime."""
    with ServerProcess(shades, "--workers", "2", until_announced=False) as server:
        eventually(lambda: len(workers(server.pid)) == 2)
        first, second = workers(server.pid)
        os.kill(second, signal.SIGSTOP)
        try:
            loaded = f"convserve-metrics-*/statistics-{first}-*"
            eventually(lambda: list(server.temporary.glob(loaded)))
            assert not any(listens(first) for _ in range(LOOKS))
        finally:
            os.kill(second, signal.SIGCONT)
        server.stdout.wait_for(r"^convserve listens on ")
        assert listens(first)
        assert listens(second)


def classify_once(server: ServerProcess) -> None:
    assert post(f"{server.url}/classify", BODY).status == 200


def open_connections(server: ServerProcess, stack: ExitStack) -> None:
    """Opens CONNECTIONS connections, each of which is used once and kept."""
    for _ in range(CONNECTIONS):
        client = stack.enter_context(socket.create_connection(server.address, timeout=DEADLINE))
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(1024).startswith(b"HTTP/1.1 200")


def both_have_loaded(page: MetricsPage) -> bool:
    """Checks a gauge to which each running worker contributes."""
    return page.total("convserve_queue_limit") == 2 * QUEUE_LIMIT


def test_all_workers_get_connections(several: ServerProcess) -> None:
    with ExitStack() as stack:
        open_connections(several, stack)
        shares = [connections(pid, several.address[1]) for pid in workers(several.pid)]
    assert sum(shares) == CONNECTIONS
    assert all(shares), shares


def test_metrics_are_the_sum_over_workers(several: ServerProcess) -> None:
    before = MetricsPage.scrape(several.url)
    for _ in range(CONNECTIONS):
        classify_once(several)
    for _ in range(8):  # whichever worker responds
        page = MetricsPage.scrape(several.url)
        for name in ("requests_total", "images_total", "request_duration_seconds_count", "predictions_total"):
            assert page.total(f"convserve_{name}") - before.total(f"convserve_{name}") == CONNECTIONS
        assert page.total("convserve_inflight_requests") == 0
        assert page.total("convserve_model_info") == 1
        assert page.total("convserve_queue_limit") == len(workers(several.pid)) * QUEUE_LIMIT
        assert page.total("convserve_ready_workers") == len(workers(several.pid))


def test_other_workers_serve_while_one_is_dead(pair: ServerProcess) -> None:
    before = MetricsPage.scrape(pair.url).total("convserve_requests_total")
    first, _ = workers(pair.pid)
    pair.send(signal.SIGSTOP)  # it cannot be replaced in the meantime
    kill(first)
    for _ in range(CONNECTIONS):
        classify_once(pair)
    counted = MetricsPage.scrape(pair.url).total("convserve_requests_total")
    assert counted == before + CONNECTIONS
    pair.send(signal.SIGCONT)
    pair.stderr.wait_for(rf"process {first}\) ended with code -9")
    page = scrape_until(pair.url, both_have_loaded)
    assert page.total("convserve_requests_total") == counted
    assert len(workers(pair.pid) - {first}) == 2


def test_counters_never_decrease(pair: ServerProcess) -> None:
    with Load(pair.url, BODY, clients=4, reconnect=True) as load:
        page = scrape_often(pair, MetricsPage.scrape(pair.url))
        first, _ = workers(pair.pid)
        kill(first)
        pair.stderr.wait_for(rf"process {first}\) ended with code -9")
        page = scrape_often(pair, page)
        scrape_until(pair.url, both_have_loaded)
        page = scrape_often(pair, page)
    last = scrape_until(pair.url, MetricsPage.is_idle)
    assert last.fallen_since(page) == []
    assert last.total("convserve_requests_total", code="200") >= load.responses[200]
    assert set(load.responses) == {200}


@pytest.mark.parametrize("name", ["counts-0-0", "gauges-0-0", "statistics-0-0"])
def test_new_metrics_file_does_not_break_the_page(pair: ServerProcess, name: str) -> None:
    """A page may be requested while a worker creates its files, and the worker may be killed."""
    (folder,) = pair.temporary.glob("convserve-metrics-*")
    (folder / name).touch()
    try:
        pages = [get(f"{pair.url}/metrics"), get(f"{pair.url}/v2/models/shades/stats")]
        assert [page.status for page in pages] == [200, 200]
    finally:
        (folder / name).unlink()


def test_worker_is_started_once_the_supervisor_can(shades: Path) -> None:
    with ServerProcess(shades, "--workers", "2") as server:
        soft, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (8, hard))  # fewer than it has open
        kill(min(workers(server.pid)))
        server.stderr.wait_for("worker . cannot be started: .*Too many open files")
        classify_once(server)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (soft, hard))
        eventually(lambda: len(workers(server.pid)) == 2)


def test_workers_end_with_their_supervisor_after_their_requests(shades: Path) -> None:
    with ServerProcess(shades, "--workers", "2") as server:
        with half_sent(server, BODY) as request:
            server.send(signal.SIGKILL)
            eventually(lambda: is_port_closed(server))
            request.send(BODY[len(BODY) // 2 :])
            assert request.getresponse().status == 200
        # This returns once no worker holds the standard error.
        assert server.wait() == -signal.SIGKILL


def test_workers_ignore_interrupts(shades: Path) -> None:
    """A terminal sends interrupts to the whole group."""
    with ServerProcess(shades, "--workers", "2", until_announced=False) as server:
        eventually(lambda: any(is_importing(pid) for pid in workers(server.pid)))
        for pid in workers(server.pid):
            os.kill(pid, signal.SIGINT)
        server.stdout.wait_for("^convserve listens on ")
        assert server.stderr.text == ""


def test_terminated_supervisor_starts_no_workers(shades: Path) -> None:
    """The supervisor imports the modules that workers share before it starts the first worker."""
    with ServerProcess(shades, "--workers", "2", until_announced=False) as server:
        eventually(lambda: is_importing(server.pid))
        assert server.stop() == -signal.SIGTERM
        assert server.stderr.text == ""


def kill(worker: int) -> None:
    os.kill(worker, signal.SIGKILL)
    wait_for_end(worker)


def scrape_often(server: ServerProcess, page: MetricsPage) -> MetricsPage:
    """The last of many pages; asserts that no counter decreases between them."""
    for _ in range(5):
        later = MetricsPage.scrape(server.url)
        assert later.fallen_since(page) == []
        page = later
    return page
