"""Changes while clients ask: no request fails, none gets a wrong answer, and memory does not grow."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lifecycle.conftest import BODY, SCALE, SOON, change, post, until_served, versions
from tests.support.http.client import HttpResponse
from tests.support.models.broken_versions import change_the_graph
from tests.support.models.gray_classifier import publish_shades, rows
from tests.support.server.eventually import eventually
from tests.support.server.metrics_page import MetricsPage, scrape_until
from tests.support.server.procfs import memory, needs_procfs, workers
from tests.support.server.server_process import FREE_GRPC_PORT, ServerProcess

CLIENTS = 32
WARM_CYCLES = 20
MAX_SLOPE_BYTES = 100_000


class Answers:
    """Clients of three dialects, whose answers are checked.

    Attributes:
        statuses: by dialect and status.
        wrong: answers that no served version gives.
    """

    def __init__(self, server: ServerProcess) -> None:
        self.statuses: Counter[tuple[str, str]] = Counter()
        self.wrong: list[str] = []
        self._server = server
        self._stopped = threading.Event()
        self._lock = threading.Lock()

    def native(self) -> tuple[str, bool]:
        response = post(f"{self._server.url}/models/shades/classify", BODY)
        document = response.json
        return str(response.status), response.status == 200 and document["predictions"][0][
            "label"
        ] == "shade 7"

    def tensorflow_serving(self) -> tuple[str, bool]:
        body = b'{"instances": %b}' % str(rows(0).tolist()).encode()
        response: HttpResponse = post(f"{self._server.url}/v1/models/shades:predict", body)
        return str(response.status), response.status == 200 and response.json["predictions"][0][0] > 0.5

    def grpc(self) -> Iterator[tuple[str, bool]]:
        import tritonclient.grpc as triton  # type: ignore[import-untyped]

        with triton.InferenceServerClient(self._server.grpc_address) as client:
            tensor = triton.InferInput("pixels", [1, 8, 8, 1], "UINT8")
            tensor.set_data_from_numpy(rows(0))
            while True:
                try:
                    result = client.infer("shades", [tensor])
                    yield "OK", bool(result.as_numpy("probabilities")[0][0] > 0.5)
                except triton.InferenceServerException as error:
                    yield str(error.status()), False

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask while the block runs; each client has had an answer before it begins."""
        begun = threading.Semaphore(0)

        def ask(name: str) -> None:
            calls = self.grpc() if name == "grpc" else iter(getattr(self, name), None)
            for status, right in calls:
                with self._lock:
                    self.statuses[name, status] += 1
                    if not right:
                        self.wrong.append(f"{name}: {status}")
                begun.release()
                if self._stopped.is_set():
                    return

        names = ("native", "tensorflow_serving", "grpc")
        threads = [threading.Thread(target=ask, args=(name,)) for name in names for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for _ in threads:
                assert begun.acquire(timeout=30)
            yield
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join()


def test_no_request_notices_that_versions_change(repository: Path, count: str) -> None:
    with ServerProcess(repository, *SOON, *FREE_GRPC_PORT, "--workers", count) as server:
        answers = Answers(server)
        with answers.asking():
            for _ in range(5 * SCALE):
                latest = publish_shades(repository).name
                until_served(server, latest)
            publish_shades(repository, "other")
            for _ in range(5 * SCALE):
                assert change(server, "load", "other").status == 200
                assert change(server, "unload", "other").status == 200
            for _ in range(SCALE):
                change_the_graph(publish_shades(repository))
                assert change(server, "load").status == 500
        assert answers.wrong == []
        assert {status for _, status in answers.statuses} == {"200", "OK"}
        asked = sum(answers.statuses.values())
        page = scrape_until(server.url, MetricsPage.is_idle)
        assert page.total("convserve_requests_total", model="shades") >= asked
        assert page.total("convserve_rejected_total") == 0
        assert page.total("convserve_model_info", model="shades") == 1
        assert set(versions(server)) == {latest}


@needs_procfs
def test_calls_of_many_clients_end_in_the_state_of_the_last(repository: Path, count: str) -> None:
    publish_shades(repository, "other")
    with ServerProcess(repository, "--workers", count) as server:
        change(server, "unload")
        before = [threads_and_files(pid) for pid in sorted(workers(server.pid) or {server.pid})]

        def call(client: int) -> set[int]:
            actions = ["load", "unload"] * (10 * SCALE)
            return {change(server, action).status for action in (actions if client % 2 else actions[::-1])}

        with ThreadPoolExecutor(CLIENTS) as clients:
            statuses = set().union(*clients.map(call, range(CLIENTS)))
        assert statuses <= {200, 409}
        assert set(versions(server)) in ({"1"}, {"404"})
        for action, answer in (("load", "1"), ("unload", "404")):
            assert change(server, action).status == 200
            assert set(versions(server)) == {answer}

        def is_as_before() -> bool:
            now = [threads_and_files(pid) for pid in sorted(workers(server.pid) or {server.pid})]
            return all(
                now_threads <= threads + 2 and now_files <= files + 4
                for (threads, files), (now_threads, now_files) in zip(before, now, strict=True)
            )

        eventually(is_as_before)


def threads_and_files(pid: int) -> tuple[int, int]:
    return len(list(Path(f"/proc/{pid}/task").iterdir())), len(list(Path(f"/proc/{pid}/fd").iterdir()))


@needs_procfs
@pytest.mark.measures
@pytest.mark.parametrize("kind", ["reload", "unload", "failed"])
def test_memory_does_not_grow_with_the_number_of_loads(repository: Path, kind: str) -> None:
    cycles = 20 * SCALE
    publish_shades(repository, "other")
    with ServerProcess(repository, "--poll-s", "0") as server:

        def cycle() -> None:
            if kind == "failed":
                assert change(server, "load").status == 500
            elif kind == "unload":
                assert change(server, "unload").status == 200
                assert change(server, "load").status == 200
            else:
                for version in (1, 2):
                    (repository / "shades/config.toml").write_text(f"versions = [{version}]")
                    assert change(server, "load").status == 200

        second = publish_shades(repository)
        if kind == "failed":
            change_the_graph(second)
        for _ in range(WARM_CYCLES):
            cycle()
        before = memory(server.pid, "VmRSS")
        for _ in range(cycles):
            cycle()
        assert (memory(server.pid, "VmRSS") - before) / cycles < MAX_SLOPE_BYTES
