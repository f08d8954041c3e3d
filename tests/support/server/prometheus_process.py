"""Runs Debian's Prometheus with the shipped configuration, scraping one server five times a second."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from tests.support.http.client import HttpResponse, get, post
from tests.support.server.eventually import eventually
from tests.support.server.output_lines import DEADLINE
from tests.support.server.server_process import ROOT

CONFIGURATION = ROOT / "docker" / "prometheus"
INTERVAL = "200ms"


@dataclass(frozen=True, slots=True)
class Prometheus:
    url: str

    def query(self, expression: str) -> list[float]:
        """The current value of each series of the expression."""
        form = urlencode({"query": expression}).encode()
        response = post(f"{self.url}/api/v1/query", form, "application/x-www-form-urlencoded")
        return [float(series["value"][1]) for series in _data(response)["result"]]

    def rules(self) -> list[dict[str, Any]]:
        """Each rule and the state of its last evaluation."""
        groups = _data(get(f"{self.url}/api/v1/rules"))["groups"]
        return [rule for group in groups for rule in group["rules"]]


@contextmanager
def prometheus(target: str, folder: Path) -> Iterator[Prometheus]:
    """Scrapes `target`, a `host:port`, while the block runs."""
    configuration = yaml.safe_load((CONFIGURATION / "prometheus.yaml").read_text())
    configuration["global"] = {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL}
    configuration["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    shutil.copy(CONFIGURATION / "rules.yaml", folder)
    address = f"127.0.0.1:{_free_port()}"
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        eventually(lambda: _is_ready(address, process))
        yield Prometheus(f"http://{address}")
    finally:
        process.terminate()
        process.wait(DEADLINE)


def _data(response: HttpResponse) -> Any:
    assert response.status == 200, response.body
    return json.loads(response.body)["data"]


def _is_ready(address: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "prometheus has exited"
    try:
        return get(f"http://{address}/-/ready").status == 200
    except OSError:
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
