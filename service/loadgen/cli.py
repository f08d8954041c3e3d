"""`convserve bench`: measure a running server, or this one on a free port."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from .. import __version__
from ..config.settings import Settings
from ..errors import ConfigurationError
from .process_stats import listeners
from .results.measurement import BUSY_CORES, Measurement
from .results.rate_search import Found, find_max_rate
from .runner import Load
from .server_process import local_server
from .target import Target
from .types import Plan, Requests
from .workload.images import drawn
from .workload.request_builders import OF_TENSORS, Batch, requests

LOOPBACK = ("127.0.0.1", "::1", "localhost")
# An open loop asks on as many connections as it needs; with fewer, requests would wait in the generator.
OPEN_LOOP_CONNECTIONS = 256
CLOSED_LOOP_CONNECTIONS = 16
# The share of a closed loop's rate at which the search for the largest rate begins.
FIRST_GUESS = 0.5
FAILED = 1


def bench(settings: Settings, options: argparse.Namespace, key: str | None) -> int:
    """Print the measurement; 0 if requests were answered, all rightly or refused in order, else 1.

    Args:
        key: the API key to show the server.

    Raises:
        ConvserveError: nothing could be measured.
    """
    objective = _milliseconds(options.p99)
    pictures = [_read(path) for path in options.picture]
    with _server(settings, options) as (url, grpc, pids):
        target = Target.find(url, options.model, grpc, key)
        asked = requests(options.protocol, target, _batches(settings, target, options, pictures))
        pids = pids or _local(asked)
        print(f"{url}, model {target.model}, {options.protocol}", flush=True)
        with Load(options.generators) as load:
            run = partial(load.run, server=pids)
            if options.find_max_rate:
                found, measurements = _find(run, asked, options, objective)
                print(_told(found, objective))
            else:
                found, measurements = None, [run(_plan(asked, options, options.rate))]
                print(measurements[0])
    if options.json is not None:
        options.json.write_text(_document(target, options, measurements, found) + "\n")
    for measurement in measurements:
        if measurement.generator_cores / options.generators > BUSY_CORES:
            print("convserve: the generator was the bottleneck: --generators", file=sys.stderr)
            break
    return 0 if found is not None or measurements[0].clean else FAILED


@contextmanager
def _server(
    settings: Settings, options: argparse.Namespace
) -> Iterator[tuple[str, str | None, Collection[int]]]:
    """Its URL, its address of gRPC and its processes, as far as they are known."""
    if options.url is not None:
        yield options.url, options.grpc, ()
        return
    with local_server(settings) as server:
        yield server.url, server.grpc, {server.pid}


def _local(asked: Requests) -> Collection[int]:
    return listeners(asked.address.port) if asked.address.host in LOOPBACK else ()


def _plan(asked: Requests, options: argparse.Namespace, rate: float | None) -> Plan:
    usual = CLOSED_LOOP_CONNECTIONS if rate is None else OPEN_LOOP_CONNECTIONS
    connections = usual if options.connections is None else options.connections
    return Plan(asked, connections, rate, options.warm_up, options.duration, options.seed)


def _find(
    run: Callable[[Plan], Measurement], asked: Requests, options: argparse.Namespace, objective: float
) -> tuple[Found, list[Measurement]]:
    """The largest rate that holds the objective, and every run on the way."""
    measurements: list[Measurement] = []

    def tail(rate: float) -> float:
        # Other arrivals each time: a rate is not confirmed by the same luck.
        plan = replace(_plan(asked, options, rate), seed=options.seed + len(measurements))
        measurement = run(plan)
        measurements.append(measurement)
        within = measurement.tail
        print(f"  {rate:10,.1f} requests/s: p99 {within:.2f} ms", flush=True)
        return within

    start = options.rate
    if start is None:
        closed = replace(_plan(asked, options, None), connections=CLOSED_LOOP_CONNECTIONS)
        start = max(run(closed).throughput * FIRST_GUESS, 1.0)
    return find_max_rate(tail, objective, start), measurements


def _told(found: Found, objective: float) -> str:
    if found.rate is None:
        return f"no rate holds p99 <= {objective:g} ms"
    tails = ", ".join(f"{trial.tail:.2f}" for trial in found.confirmations)
    return (
        f"largest Poisson rate that holds p99 <= {objective:g} ms: {found.rate:,.0f} requests/s "
        f"(p99 {tails} ms in {len(found.confirmations)} runs)"
    )


def _batches(
    settings: Settings, target: Target, options: argparse.Namespace, pictures: Sequence[bytes]
) -> Sequence[Batch]:
    """As many requests as there are pictures, each beginning with another one."""
    pictures = pictures or [_example(settings, target)]
    count = options.images_per_request
    groups = [[pictures[(i + j) % len(pictures)] for j in range(count)] for i in range(len(pictures))]
    if options.protocol not in OF_TENSORS:
        return [Batch(group) for group in groups]
    rows = _rows(settings, target, pictures)
    of = dict(zip(pictures, rows, strict=True))
    return [Batch(group, b"".join(of[picture] for picture in group)) for group in groups]


def _rows(settings: Settings, target: Target, pictures: Sequence[bytes]) -> list[bytes]:
    from ..imaging.decoder import Decoder

    if target.spec is None:
        raise ConfigurationError(
            f"the server does not tell what {target.model!r} takes: use --protocol native"
        )
    decoder = Decoder(target.spec, max_pixels=settings.max_pixels)
    return [decoder.decode(decoder.open(picture)).tobytes() for picture in pictures]


def _example(settings: Settings, target: Target) -> bytes:
    """The example of a model of that name in the repository at hand, or a drawn picture of its size."""
    examples = sorted((settings.models / target.model).glob("*/example.png"))
    if examples:
        return examples[-1].read_bytes()
    spec = target.spec
    return drawn(28 if spec is None or spec.height is None else spec.height)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error


def _milliseconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s)?", text)
    if found is None or not float(found[1]):
        raise ConfigurationError(f"--p99 must be a time like 15ms, not {text!r}")
    return float(found[1]) * (1000 if found[2] == "s" else 1)


def _document(
    target: Target, options: argparse.Namespace, measurements: Sequence[Measurement], found: Found | None
) -> str:
    document: dict[str, Any] = {
        "convserve": __version__,
        "model": target.model,
        "protocol": options.protocol,
        "measurements": [measurement.as_dict() for measurement in measurements],
    }
    if found is not None:
        document["max_rate"] = {"p99_ms": _milliseconds(options.p99), "requests_per_second": found.rate}
        document["trials"] = [asdict(trial) | {"tail": _finite(trial.tail)} for trial in found.trials]
    return json.dumps(document, indent=2)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
