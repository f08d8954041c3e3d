"""Durations, deadlines and rates do not depend on the wall clock, which may jump."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http.client import post, send_request
from tests.support.models.gray_classifier import image, level, publish_shades
from tests.support.server.eventually import eventually
from tests.support.server.server_process import ServerProcess

SERVICE = Path(__file__).resolve().parent.parent.parent / "service"
WALL_CLOCKS = {
    "time",
    "time_ns",
    "now",
    "utcnow",
    "today",
    "clock_gettime",
    "localtime",
    "gmtime",
    "strftime",
}
# Timestamps for people and collectors; and scan.py compares with the times of files.
TELLING_THE_TIME = {"logs.py", "model_statistics.py", "tracing.py", "scan.py"}
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
BODY = image(level(7))


def calls_of_wall_clocks(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            name = owner.id if isinstance(owner, ast.Name) else ""
            if name in ("time", "datetime", "date") and node.func.attr in WALL_CLOCKS:
                yield f"{path.name}: {name}.{node.func.attr}"
        if isinstance(node, ast.ImportFrom) and node.module in ("time", "datetime"):
            yield f"{path.name}: from {node.module}"


def test_wall_clocks_are_read_only_for_timestamps() -> None:
    found = [call for path in sorted(SERVICE.rglob("*.py")) for call in calls_of_wall_clocks(path)]
    assert {call.partition(":")[0] for call in found} <= TELLING_THE_TIME, found


@pytest.mark.skipif(not FAKETIME, reason="libfaketime is not installed")
@pytest.mark.parametrize("jump", ["+10d", "-10d"])
def test_clock_jump_of_days_has_no_effect(tmp_path: Path, jump: str) -> None:
    """Deadlines, batch delays and idle timeouts use the monotonic clock, which does not jump."""
    publish_shades(tmp_path / "models")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    own = {
        "LD_PRELOAD": str(FAKETIME[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    with ServerProcess(tmp_path / "models", "--max-queue-delay-ms", "20", own=own) as server:
        before = post(f"{server.url}/classify", BODY)
        clock.write_text(jump)
        headers = {"Content-Type": "image/png", "X-Request-Timeout-Ms": "20000"}
        responses = [send_request("POST", f"{server.url}/classify", BODY, headers) for _ in range(20)]
        assert {response.status for response in [before, *responses]} == {200}
        today = before.headers["date"][:16]
        eventually(lambda: post(f"{server.url}/classify", BODY).headers["date"][:16] != today)
