"""Measures the load generator against a server with a constant response, and compares it with wrk."""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
from functools import partial

from benchmarks.cases.measurements import Entry, Row
from benchmarks.report.figures import Figures
from benchmarks.server_pool import ServerPool
from benchmarks.servers import RunningServer, baseline_asgi
from service.loadgen.clients.request_bytes import post
from service.loadgen.types import Requests
from service.loadgen.workload import response_parsers

CONNECTIONS = 64


def generator_row() -> Row:
    """Return the row; `generator` divided by the rate is the generator's CPU time per request."""
    constant = baseline_asgi(None, 2)

    def own(pool: ServerPool) -> Figures:
        server = pool.server(constant)
        data = (post(server.address, "/", bytes(300), {"Content-Type": "image/png"}),)
        requests = Requests(server.address, data, partial(response_parsers.native, 1))
        return Figures.of(pool.measure(server, requests, CONNECTIONS))

    entries = [Entry("convserve bench", own)]
    if shutil.which("wrk"):
        entries.append(
            Entry("wrk, one thread, GET", lambda pool: _wrk(pool.server(constant), pool.timing.seconds))
        )
    return Row(
        "generator", "the load generator against a server with a constant response, 64 connections", entries
    )


def _wrk(server: RunningServer, seconds: float) -> Figures:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # wrk accepts whole seconds only
    command = [
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{max(round(seconds), 1)}",
        f"http://127.0.0.1:{server.address.port}/",
    ]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = re.search(r"Requests/sec:\s+([\d.]+)", output)
    rate = float(found[1]) if found else None
    return Figures(rate=rate, images=rate, generator=spent / max(round(seconds), 1))
