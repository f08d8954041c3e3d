"""The command: `convserve-export NETWORK`, or `python -m export NETWORK` in a clone; see commands.py too.

Exit codes: 0 published, or trained where no more was asked, 1 not (one sentence on stderr says why), 2 wrong
usage, 130 interrupted.
"""

from __future__ import annotations

# Only what is quick to import stands up here, so that Ctrl-C finds `main` already running.
import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from . import subcommands

if TYPE_CHECKING:
    from ..pipelines.recipes import Recipe

DATA_VARIABLE: Final = "CONVSERVE_DATA"
INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Export what the arguments ask for (None: those of the process) and return the exit code."""
    try:
        return _run(argv)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not disturb the leaving
        if sys.stderr.isatty():
            print(file=sys.stderr)  # below the progress bar
        print("convserve-export: interrupted, nothing published", file=sys.stderr)
        return INTERRUPTED


def _run(argv: Sequence[str] | None) -> int:
    from ..errors import ExportError
    from ..pipelines.recipes import RECIPES
    from ..training.backend import BACKEND_VARIABLE

    arguments = _parser(RECIPES).parse_args(argv)
    if not vars(arguments).get("train_only"):
        os.environ[BACKEND_VARIABLE] = "tensorflow"  # it alone converts
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # it greets with pages on what it was built for
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # off where AVX-512 is not: a quarter slower
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it would report to its makers

    try:
        published = arguments.work(arguments, sys.stderr)
    except ExportError as error:
        print(f"convserve-export: {error}", file=sys.stderr)
        return 1
    print(published)
    return 0


def _train(arguments: argparse.Namespace, report: TextIO) -> Path:
    from ..pipelines.export_options import Order
    from ..pipelines.pipeline import export, learn
    from ..pipelines.recipes import RECIPES

    order = Order(
        data=arguments.data,
        models=arguments.models,
        seed=arguments.seed,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        limit=arguments.limit,
        classes=arguments.classes,
        columns=arguments.columns,
        checkpoints=arguments.checkpoints,
        resume=arguments.resume,
        mixed_precision=arguments.mixed_precision,
        distribute=arguments.distribute,
        random=arguments.weights == "random",
    )
    work = learn if arguments.train_only else export
    return work(arguments.network, RECIPES[arguments.network], order, report)


def _parser(recipes: Mapping[str, Recipe]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="convserve-export",
        description="Train a network in Keras and publish it as a verified ONNX model.",
    )
    networks = parser.add_subparsers(dest="network", metavar="COMMAND", required=True)
    for name, recipe in recipes.items():
        command = networks.add_parser(name, help=recipe.description, description=recipe.description)
        _add_options(command, recipe)
        command.set_defaults(work=_train)
    subcommands.add(networks, os.environ.get(DATA_VARIABLE) or None)
    return parser


def _add_options(command: argparse.ArgumentParser, recipe: Recipe) -> None:
    command.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        default=os.environ.get(DATA_VARIABLE) or None,
        help=f"folder of the data set (else {DATA_VARIABLE}, else it is downloaded where that can be done)",
    )
    command.add_argument(
        "--models",
        type=Path,
        metavar="DIR",
        default=Path("models"),
        help="model repository (default: models)",
    )
    plan = recipe.course.plan
    for option, smallest, meaning in (
        ("--epochs", 1, f"times over the training pictures (default: {plan.epochs})"),
        ("--batch-size", 1, f"pictures a step (default: {plan.batch_size})"),
        ("--limit", 2, "keep N training pictures a class, for a quick trial"),
        ("--classes", 2, "insist on a data set of N classes (default: as many as it has)"),
        ("--columns", 1, f"networks to train and seat in a committee (default: {recipe.columns})"),
    ):
        command.add_argument(option, type=_at_least(smallest), metavar="N", help=meaning)
    command.add_argument(
        "--seed",
        type=_at_least(0),
        metavar="N",
        default=0,
        help="the same seed, the same weights (default: 0)",
    )
    command.add_argument(
        "--checkpoints",
        type=Path,
        metavar="DIR",
        help="where the state of the training is kept after every epoch (default: a folder in .checkpoints)",
    )
    command.add_argument(
        "--resume", action="store_true", help="go on after the last epoch that was kept, or from the start"
    )
    command.add_argument(
        "--mixed-precision", action="store_true", help="multiply in 16 bits; what is published has 32"
    )
    ending = command.add_mutually_exclusive_group()
    ending.add_argument(
        "--train-only",
        action="store_true",
        help="leave the trained network in its checkpoints, for --resume to publish: KERAS_BACKEND may then "
        "be jax or torch, and the machine another than the one that publishes",
    )
    ending.add_argument(
        "--weights",
        choices=["trained", "random"],
        default="trained",
        help="random: publish the network untrained, without data, to measure speed with",
    )
    command.add_argument(
        "--distribute", action="store_true", help="share every batch out over all visible GPUs"
    )


def _at_least(smallest: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if value < smallest:
            raise argparse.ArgumentTypeError(f"{value} is less than {smallest}")
        return value

    return number
