"""The arguments of `convserve bench`; importing this module loads nothing but argparse."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

PROTOCOLS = ("native", "open-inference", "tensorflow-serving", "grpc")
CLOSED_LOOP_CONNECTIONS = 16
# One for each request in flight in an open loop; with fewer, requests would wait in the generator.
OPEN_LOOP_CONNECTIONS = 256


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments, in groups; `loadgen.cli.bench` takes the parsed namespace."""
    _add_server(parser)
    _add_requests(parser.add_argument_group("Requests"))
    _add_load(parser.add_argument_group("Load"))
    _add_search(parser.add_argument_group("Search for the highest rate"))
    output = parser.add_argument_group("Output")
    output.add_argument("--json", type=Path, metavar="FILE", help="Write the measurement to this JSON file.")


def _add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "url",
        nargs="?",
        metavar="URL",
        help="URL of the server, such as http://127.0.0.1:8000. (default: start a server on free ports, with "
        "the settings below)",
    )
    group = parser.add_argument_group("Server")
    group.add_argument(
        "--model", metavar="NAME", help="Name of the model. (default: the server's default model)"
    )
    group.add_argument(
        "--grpc",
        metavar="HOST:PORT",
        help="gRPC address of the server. (default: the port after the one in URL)",
    )


def _add_requests(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--image",
        dest="images",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="Image files, sent in turn. (default: the model's example image)",
    )
    group.add_argument(
        "--picture",
        dest="images",
        nargs="+",
        type=Path,
        default=argparse.SUPPRESS,
        help=argparse.SUPPRESS,  # the flag's former name
    )
    group.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="native",
        help="Protocol of the requests. (default: %(default)s)",
    )
    group.add_argument(
        "--images-per-request",
        type=positive_int,
        default=1,
        metavar="N",
        help="Images in each request. (default: %(default)s)",
    )


def _add_load(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--connections",
        type=positive_int,
        metavar="N",
        help=f"Open connections. (default: {CLOSED_LOOP_CONNECTIONS}; open loop: {OPEN_LOOP_CONNECTIONS})",
    )
    add(
        "--duration",
        type=positive_float,
        default=10.0,
        metavar="SECONDS",
        help="Duration of the measurement. (default: %(default)g)",
    )
    add(
        "--warm-up",
        type=positive_float,
        default=2.0,
        metavar="SECONDS",
        help="Duration of the same load before the measurement. (default: %(default)g)",
    )
    add(
        "--rate",
        type=positive_float,
        metavar="R",
        help="Open loop: send R requests per second at random times (Poisson arrivals), and count latency "
        "from the time a request was due. (default: closed loop, one request at a time on each connection)",
    )
    add("--seed", type=int, default=0, metavar="N", help="Seed of the random times. (default: %(default)s)")
    add(
        "--generators",
        type=positive_int,
        default=1,
        metavar="N",
        help="Processes that send requests. (default: %(default)s)",
    )


def _add_search(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--find-max-rate",
        action="store_true",
        help="Find the highest rate of an open loop whose p99 latency stays within --p99. "
        "The search starts at --rate.",
    )
    group.add_argument(
        "--p99",
        type=milliseconds,
        default="15ms",
        metavar="TIME",
        help="Latency objective, in ms or s. (default: %(default)s)",
    )


def positive_int(text: str) -> int:
    """
    Raises:
        argparse.ArgumentTypeError: the text is not a whole number of at least 1.
    """
    return int(_positive(int, text, "a whole number of at least 1"))


def positive_float(text: str) -> float:
    """
    Raises:
        argparse.ArgumentTypeError: the text is not a finite number above 0.
    """
    return _positive(float, text, "a number above 0")


def milliseconds(text: str) -> float:
    """Convert a time such as `15ms` or `0.5s`.

    Raises:
        argparse.ArgumentTypeError: the text is not a time above 0.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s)?", text)
    if found is None or not float(found[1]):
        raise argparse.ArgumentTypeError(f"must be a time such as 15ms or 0.5s, not {text!r}")
    return float(found[1]) * (1000 if found[2] == "s" else 1)


def _positive(convert: Callable[[str], float], text: str, expected: str) -> float:
    try:
        value = convert(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be {expected}, not {text!r}")
    return value
