"""While a version loads, and if it cannot be loaded, the former one answers."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.lifecycle.conftest import SOON, change, post, reasons, rename_version, until_served, versions
from tests.support.lifecycle.gated_server import GATED, Gate
from tests.support.models.broken_versions import change_the_golden_outputs, change_the_graph
from tests.support.models.file_records import record_files
from tests.support.models.gray_classifier import publish_shades
from tests.support.models.hostile_versions import edit_manifest
from tests.support.server.eventually import eventually
from tests.support.server.procfs import listens, needs_procfs, workers
from tests.support.server.server_process import ServerProcess
from tests.support.server.watched import TRIES, watched

MAX_PROBE_SECONDS = 0.05
FRESH_CONNECTIONS = 500


def gated(models: Path, gate: Gate, *arguments: str) -> ServerProcess:
    return ServerProcess(models, *arguments, command=GATED, own=gate.own)


@pytest.mark.measures
def test_former_version_answers_while_the_new_one_loads(repository: Path, gate: Gate, count: str) -> None:
    with gated(repository, gate, "--workers", count) as server, ThreadPoolExecutor(1) as thread:
        publish_shades(repository)
        gate.close()
        load = thread.submit(change, server, "load")
        eventually(gate.waiting)
        waits: list[float] = []
        while len(waits) < TRIES and min(waits, default=MAX_PROBE_SECONDS) >= MAX_PROBE_SECONDS:
            with watched(server) as watch:
                assert set(versions(server, 50)) == {"1"}
            waits.append(watch.longest_wait)
        assert min(waits) < MAX_PROBE_SECONDS
        assert not load.done()
        index = post(f"{server.url}/v2/repository/index").json
        assert ("1", "READY") in {(row["version"], row["state"]) for row in index}
        gate.open()
        assert load.result().status == 200
        assert versions(server, FRESH_CONNECTIONS) == {"2": FRESH_CONNECTIONS}
        assert server.stderr.text == ""


def truncate_the_graph(version: Path) -> None:
    graph = version / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:100])


def truncate_the_graph_as_published(version: Path) -> None:
    truncate_the_graph(version)
    record_files(version)


def rename_the_input(version: Path) -> None:
    document = json.loads((version / "manifest.json").read_text())
    edit_manifest(version, input={**document["input"], "name": "image"})


def add_a_field(version: Path) -> None:
    edit_manifest(version, colour="red")


def remove_the_golden_data(version: Path) -> None:
    (version / "golden.npz").unlink()


def raise_the_opset(version: Path) -> None:
    model = onnx.load(version / "model.onnx")
    model.opset_import[0].version = 99
    (version / "model.onnx").write_bytes(model.SerializeToString())
    record_files(version)


def write_golden_data_of_another_model(version: Path) -> None:
    np.savez(
        version / "golden.npz", inputs=np.zeros((1, 9, 9, 1), np.uint8), outputs=np.zeros((1, 10), np.float32)
    )
    record_files(version)


BREAKAGES: list[tuple[Callable[[Path], None], str]] = [
    (truncate_the_graph, "model.onnx is not the file that was published"),
    (truncate_the_graph_as_published, "model.onnx cannot be opened|is not an ONNX graph"),
    (change_the_graph, "SHA-256"),
    (change_the_golden_outputs, "the golden outputs differ"),
    (rename_the_input, "the graph has the uint8 tensor 'pixels'"),
    (add_a_field, "colour: Extra inputs are not permitted"),
    (remove_the_golden_data, "golden.npz cannot be read"),
    (raise_the_opset, "model.onnx cannot be opened by ONNX Runtime"),
    (write_golden_data_of_another_model, "do not fit a model"),
]


def test_broken_versions_change_nothing_until_they_are_mended(repository: Path, count: str) -> None:
    publish_shades(repository, "other")
    with ServerProcess(repository, *SOON, "--workers", count) as server:
        for number, (breaks, reason) in enumerate(BREAKAGES, start=2):
            hidden = publish_shades(repository.parent / f"new-{number}", "shades")
            rename_version(hidden, str(number))
            whole = {path.name: path.read_bytes() for path in hidden.iterdir()}
            breaks(hidden)
            hidden.rename(repository / f"shades/{number}")
            answers = [change(server, "load") for _ in range(2)]
            assert [answer.status for answer in answers] == [500, 500]
            assert answers[0].body == answers[1].body
            assert any(part in answers[0].json["error"] for part in reason.split("|")), answers[0].json
            assert set(versions(server)) == {str(number - 1)}
            assert set(versions(server, model="other")) == {"1"}
            for name, content in whole.items():
                (repository / f"shades/{number}" / name).write_bytes(content)
            until_served(server, str(number))
            eventually(lambda: not reasons(server))


@needs_procfs
@pytest.mark.parametrize("order", ["first", "second"])
def test_worker_that_is_killed_while_it_loads_or_after(repository: Path, gate: Gate, order: str) -> None:
    """The others wait for it, and all serve the same in the end."""
    with gated(repository, gate, *SOON, "--workers", "3") as server:
        gate.close()
        publish_shades(repository)
        [first] = eventually(gate.waiting)
        victim = first
        if order == "second":
            gate.open()
            until_served(server, "2")
            gate.close()
            publish_shades(repository)
            [victim] = eventually(gate.waiting)
        os.kill(victim, signal.SIGKILL)
        server.stderr.wait_for(rf"process {victim}\) ended with code -9")
        (gate.folder / f"shades-{victim}").unlink(missing_ok=True)
        assert set(versions(server)) == {"1" if order == "first" else "2"}
        gate.open()
        until_served(server, "2" if order == "first" else "3")
        eventually(lambda: len(workers(server.pid)) == 3)
        until_served(server, "2" if order == "first" else "3")


@needs_procfs
def test_worker_that_ends_while_the_server_starts(repository: Path, gate: Gate) -> None:
    """The others would wait for it without end."""
    gate.close()
    server = ServerProcess(repository, "--workers", "3", command=GATED, own=gate.own, until_announced=False)
    with server:
        eventually(lambda: len(gate.waiting()) == 3)
        os.kill(max(gate.waiting()), signal.SIGKILL)
        server.stderr.wait_for("a worker process ended during startup")
        gate.open()
        assert server.wait() == 3


@needs_procfs
def test_restarted_worker_serves_what_the_others_serve(repository: Path) -> None:
    with ServerProcess(repository, "--poll-s", "0", "--workers", "2") as server:
        publish_shades(repository)
        for _ in range(3):
            victim = min(workers(server.pid))
            os.kill(victim, signal.SIGKILL)
            server.stderr.wait_for(rf"process {victim}\) ended with code -9")
            eventually(lambda: sum(map(listens, workers(server.pid))) == 2)
            assert set(versions(server, 64)) == {"1"}
        server.send(signal.SIGHUP)
        until_served(server, "2")


def test_one_worker_that_cannot_load_a_version_keeps_all_from_serving_it(
    repository: Path, gate: Gate
) -> None:
    """The files change between the loads of two workers."""
    with (
        gated(repository, gate, "--poll-s", "0", "--workers", "2") as server,
        ThreadPoolExecutor(1) as thread,
    ):
        version = publish_shades(repository)
        gate.close()
        load = thread.submit(change, server, "load")
        eventually(gate.waiting)
        whole = (version / "model.onnx").read_bytes()
        change_the_graph(version)
        gate.open()
        assert load.result().status == 500
        assert set(versions(server, 64)) == {"1"}
        (version / "model.onnx").write_bytes(whole)
        assert change(server, "load").status == 200
        assert set(versions(server, 64)) == {"2"}


def test_unload_and_shutdown_during_a_load(repository: Path, gate: Gate, count: str) -> None:
    """Calls are carried out in their order; a server that ends drops the load."""
    with gated(repository, gate, "--workers", count) as server, ThreadPoolExecutor(4) as thread:
        publish_shades(repository)
        gate.close()
        calls = [thread.submit(change, server, "load")]
        eventually(gate.waiting)
        calls += [thread.submit(change, server, action) for action in ("load", "unload")]
        gate.open()
        assert [call.result().status for call in calls] == [200, 200, 200]
        assert set(versions(server)) <= {"404", "2"}
        assert change(server, "load").status == 200
        assert set(versions(server)) == {"2"}
        publish_shades(repository)
        gate.close()
        last = thread.submit(change, server, "load")
        eventually(gate.waiting)
        server.send(signal.SIGTERM)
        gate.open()
        assert server.wait() == -signal.SIGTERM
        assert last.exception() is not None or last.result().status in (200, 503)
        assert "Traceback" not in server.stderr.text
