"""`make lifecycle` runs ten times as many changes, with one and four workers."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.http.client import HttpResponse, get, send_request
from tests.support.lifecycle.gated_server import Gate
from tests.support.models.gray_classifier import image, level
from tests.support.server.eventually import eventually
from tests.support.server.server_process import ServerProcess

SCALE = int(os.environ.get("CONVSERVE_LIFECYCLE", "1"))
WORKERS = ("1", "2" if SCALE == 1 else "4")
BODY = image(level(7))
# A look at the repository every 50 ms.
SOON = ("--poll-s", "0.05")


@pytest.fixture(params=WORKERS)
def count(request: pytest.FixtureRequest) -> str:
    """The number of workers."""
    workers: str = request.param
    return workers


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


def post(url: str, body: bytes = b"") -> HttpResponse:
    return send_request("POST", url, body, {"Content-Type": "image/png"} if body else {})


def change(server: ServerProcess, action: str, model: str = "shades") -> HttpResponse:
    return post(f"{server.url}/v2/repository/models/{model}/{action}")


def versions(server: ServerProcess, requests: int = 20, model: str = "shades") -> Counter[str]:
    """The versions that answer, each request on a connection of its own, and statuses other than 200."""
    answers: Counter[str] = Counter()
    for _ in range(requests):
        response = post(f"{server.url}/models/{model}/classify", BODY)
        if response.status == 200:
            assert response.json["predictions"][0]["label"] == "shade 7"
        answers[response.json["version"] if response.status == 200 else str(response.status)] += 1
    return answers


def rename_version(version: Path, number: str) -> None:
    """Let the manifest of a version have another number."""
    path = version / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": number}))


def until_served(server: ServerProcess, version: str, model: str = "shades") -> None:
    """Returns once every worker serves this version only."""
    eventually(lambda: set(versions(server, 16, model)) == {version})


def reasons(server: ServerProcess) -> Iterable[str]:
    """Why something on disk is not served."""
    ready = get(f"{server.url}/readyz").json
    return [each["reason"] for each in [*ready["failed"], *ready["problems"]]]
