"""The flags of `convserve bench`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

PROTOCOLS = ("native", "open-inference", "tensorflow-serving", "grpc")


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("url", nargs="?", metavar="URL", help="the server; this one, started for the occasion, if not given")
    add("--picture", nargs="+", type=Path, default=[], metavar="FILE", help="asked in turns; else an example")
    add("--model", help="the model to ask; the server's default if not given")
    add("--protocol", choices=PROTOCOLS, default="native", help="dialect (default native)")
    add("--grpc", metavar="HOST:PORT", help="where the server listens for gRPC; the next port if not given")
    add("--connections", type=_whole, metavar="N", help="open at a time (closed loop 16, open loop 256)")
    add("--images-per-request", type=_whole, default=1, metavar="N", help="pictures in a request (default 1)")
    add("--duration", type=_positive, default=10.0, metavar="SECONDS", help="of the measurement (default 10)")
    add("--warm-up", type=_positive, default=2.0, metavar="SECONDS", help="the same load before (default 2)")
    add(
        "--rate",
        type=_positive,
        metavar="R",
        help="requests a second at random moments (Poisson), with latency from the moment each was due; "
        "without it every connection asks again as soon as it is answered",
    )
    add("--find-max-rate", action="store_true", help="search the largest such rate that holds --p99")
    add("--p99", default="15ms", metavar="TIME", help="the objective of --find-max-rate (default 15ms)")
    add("--seed", type=int, default=0, help="of the random moments (default 0)")
    add("--generators", type=_whole, default=1, metavar="N", help="processes that ask (default 1)")
    add("--json", type=Path, metavar="FILE", help="write the measurement here")


def _checked(convert: Callable[[str], float], text: str) -> float:
    value = convert(text)
    if not 0 < value < float("inf"):
        raise ValueError
    return value


def _positive(text: str) -> float:
    return _checked(float, text)


def _whole(text: str) -> int:
    return int(_checked(int, text))
