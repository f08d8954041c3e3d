"""The command `convserve bench`: measures a running server, or one that it starts."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from .. import __version__
from ..config.settings import Settings
from ..system.printable import printable
from .options import CLOSED_LOOP_CONNECTIONS, OPEN_LOOP_CONNECTIONS
from .process_stats import listeners
from .results.measurement import BUSY_CORES, Measurement
from .results.rate_search import MaxRate, find_max_rate
from .runner import LoadRunner
from .server_process import local_server
from .target import Target
from .types import Plan, Requests
from .workload.images import batches
from .workload.request_builders import requests

LOOPBACK = ("127.0.0.1", "::1", "localhost")
# The search for the highest rate starts at this share of a closed loop's throughput.
FIRST_RATE_SHARE = 0.5


def bench(settings: Settings, options: argparse.Namespace, key: str | None) -> bool:
    """Measure, print the measurement, and return whether it is valid.

    A measurement is valid if requests were answered, and each either correctly or with a 429.

    Args:
        options: as `loadgen.options` defines them.
        key: the API key to send.

    Raises:
        ConvserveError: nothing could be measured.
    """
    with _server(settings, options) as (url, grpc, pids):
        target = Target.discover(url, options.model, grpc, key)
        images = batches(settings, target, options.protocol, options.images, options.images_per_request)
        workload = requests(options.protocol, target, images)
        print(printable(f"{url}, model {target.model}, {options.protocol}"), flush=True)
        max_rate, measurements = _measure(workload, options, pids or _local_pids(workload))
    print(measurements[0] if max_rate is None else _describe(max_rate, options.p99))
    if options.json is not None:
        options.json.write_text(_report(target, options, measurements, max_rate) + "\n")
    if any(each.generator_cores / options.generators > BUSY_CORES for each in measurements):
        print("convserve: the load generator was the bottleneck; raise --generators", file=sys.stderr)
    return max_rate is not None or measurements[0].clean


@contextmanager
def _server(
    settings: Settings, options: argparse.Namespace
) -> Iterator[tuple[str, str | None, Collection[int]]]:
    """The server's URL, gRPC address and processes, as far as they are known."""
    if options.url is not None:
        yield options.url, options.grpc, ()
        return
    with local_server(settings) as server:
        yield server.url, server.grpc, {server.pid}


def _local_pids(workload: Requests) -> Collection[int]:
    return listeners(workload.address.port) if workload.address.host in LOOPBACK else ()


def _measure(
    workload: Requests, options: argparse.Namespace, pids: Collection[int]
) -> tuple[MaxRate | None, list[Measurement]]:
    with LoadRunner(options.generators) as runner:
        run = partial(runner.run, server=pids)
        if options.find_max_rate:
            return _search(run, workload, options)
        return None, [run(_plan(workload, options, options.rate))]


def _plan(workload: Requests, options: argparse.Namespace, rate: float | None) -> Plan:
    default = CLOSED_LOOP_CONNECTIONS if rate is None else OPEN_LOOP_CONNECTIONS
    connections = default if options.connections is None else options.connections
    return Plan(workload, connections, rate, options.warm_up, options.duration, options.seed)


def _search(
    run: Callable[[Plan], Measurement], workload: Requests, options: argparse.Namespace
) -> tuple[MaxRate, list[Measurement]]:
    """Find the highest rate within the objective; also return the measurement of every rate tried."""
    measurements: list[Measurement] = []

    def tail(rate: float) -> float:
        # Another seed each time, so that one lucky sequence of arrivals cannot confirm a rate.
        plan = replace(_plan(workload, options, rate), seed=options.seed + len(measurements))
        measurement = run(plan)
        measurements.append(measurement)
        print(f"  {rate:10,.1f} requests/s: p99 {measurement.tail:.2f} ms", flush=True)
        return measurement.tail

    start = options.rate
    if start is None:
        closed = replace(_plan(workload, options, None), connections=CLOSED_LOOP_CONNECTIONS)
        start = max(run(closed).throughput * FIRST_RATE_SHARE, 1.0)
    return find_max_rate(tail, options.p99, start), measurements


def _describe(max_rate: MaxRate, objective: float) -> str:
    if max_rate.rate is None:
        return f"no rate keeps p99 <= {objective:g} ms"
    tails = ", ".join(f"{trial.tail:.2f}" for trial in max_rate.confirmations)
    return (
        f"highest Poisson rate with p99 <= {objective:g} ms: {max_rate.rate:,.0f} requests/s "
        f"(p99 {tails} ms in {len(max_rate.confirmations)} runs)"
    )


def _report(
    target: Target,
    options: argparse.Namespace,
    measurements: Sequence[Measurement],
    max_rate: MaxRate | None,
) -> str:
    document: dict[str, Any] = {
        "convserve": __version__,
        "model": target.model,
        "protocol": options.protocol,
        "measurements": [measurement.as_dict() for measurement in measurements],
    }
    if max_rate is not None:
        document["max_rate"] = {"p99_ms": options.p99, "requests_per_second": max_rate.rate}
        document["trials"] = [asdict(trial) | {"tail": _finite(trial.tail)} for trial in max_rate.trials]
    return json.dumps(document, indent=2)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
