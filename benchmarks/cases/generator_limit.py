"""What the generator itself can do: against a server that only greets, beside wrk where that is installed."""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
from functools import partial

from benchmarks.cases.measurements import Entry, Row
from benchmarks.report.figures import Figures
from benchmarks.server_pool import Stage
from benchmarks.servers import Running, bare
from service.loadgen.clients.request_bytes import post
from service.loadgen.types import Requests
from service.loadgen.workload import response_parsers

CONNECTIONS = 64


def generator_row() -> Row:
    """`generator` is the cores it kept busy; over the rate that is its cost a request."""
    hello = bare(None, 2)

    def own(stage: Stage) -> Figures:
        server = stage.server(hello)
        data = (post(server.address, "/", bytes(300), {"Content-Type": "image/png"}),)
        requests = Requests(server.address, data, partial(response_parsers.native, 1))
        return Figures.of(stage.ask(server, requests, CONNECTIONS))

    entries = [Entry("convserve bench", own)]
    if shutil.which("wrk"):
        entries.append(
            Entry("wrk, one thread, GET", lambda stage: _wrk(stage.server(hello), stage.pace.seconds))
        )
    return Row("generator", "the generator alone, against a server that greets, 64 connections", entries)


def _wrk(server: Running, seconds: float) -> Figures:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # whole seconds are all it takes
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
