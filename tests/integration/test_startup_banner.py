"""What a server says of itself once it listens."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from tests.support.http.client import get
from tests.support.server.output_lines import DEADLINE
from tests.support.server.server_process import ServerProcess, environment


def test_it_names_the_address_the_models_with_their_accuracy_and_the_docs(server: ServerProcess) -> None:
    first, model, _, docs = server.stdout.text.splitlines()
    assert first == f"convserve listens on {server.url}"
    assert model.startswith("  shades version 1: accuracy 100.00% on drawn greys; CPU, 1 thread")
    assert docs == f"  docs: {server.url}/docs"


def test_it_listens_when_it_says_so(server: ServerProcess) -> None:
    assert get(f"{server.url}/readyz").json["status"] == "ready"
    assert get(f"{server.url}/docs").status == 200


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_line_works_as_it_stands(server: ServerProcess) -> None:
    line = server.stdout.wait_for(r"^  try:  (curl .*)$")[1]
    answer = subprocess.run(
        line,
        shell=True,
        cwd=server.cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    (prediction,) = json.loads(answer.stdout)["predictions"]
    assert prediction["label"] == "shade 7"


def test_nothing_else_is_said_while_all_is_well(server: ServerProcess) -> None:
    assert server.stderr.text == ""
