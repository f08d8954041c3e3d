"""The banner of a server that has started."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from tests.support.http.client import get
from tests.support.server.output_lines import DEADLINE
from tests.support.server.server_process import ServerProcess, environment


def test_banner_names_the_address_models_and_docs(server: ServerProcess) -> None:
    first, model, _, page, docs = server.stdout.text.splitlines()
    assert first == f"convserve listens on {server.url}"
    assert model.startswith("  shades version 1 (default): accuracy 100.00% on uniform grays; CPU, 1 thread")
    assert page == f"  page: {server.url}/ui"
    assert docs == f"  docs: {server.url}/docs"


def test_server_listens_when_the_banner_appears(server: ServerProcess) -> None:
    assert get(f"{server.url}/readyz").json["status"] == "ready"
    assert get(f"{server.url}/ui").status == get(f"{server.url}/docs").status == 200


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_command_works(server: ServerProcess) -> None:
    line = server.stdout.wait_for(r"^  try:  (curl .*)$")[1]
    result = subprocess.run(
        line,
        shell=True,
        cwd=server.cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    (prediction,) = json.loads(result.stdout)["predictions"]
    assert prediction["label"] == "shade 7"


def test_normal_operation_logs_nothing_else(server: ServerProcess) -> None:
    assert server.stderr.text == ""
