"""The command line of `convserve-export`, or `python -m export` in a clone."""

from __future__ import annotations

# Only modules with a short import time are imported here, so that `main` handles Ctrl-C from the start.
import argparse
import io
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from . import subcommands
from .arguments import add_data, add_models, add_replace_labels, integer_from
from .exit_codes import ExitCode
from .extras import check_installed
from .next_steps import CommandResult, next_steps

if TYPE_CHECKING:
    from ..pipelines.recipes import Recipe

DATA_VARIABLE: Final = "CONVSERVE_DATA"

_EPILOG: Final = (
    "Run 'convserve-export COMMAND --help' for the options of a command. "
    f"The environment variable {DATA_VARIABLE} sets the default of --data."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; `argv` defaults to the arguments of the process."""
    try:
        return _run(argv)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the exit
        if sys.stderr.isatty():
            print(file=sys.stderr)  # ends the line of the progress bar
        print("convserve-export: interrupted, nothing published", file=sys.stderr)
        return ExitCode.INTERRUPTED


def _run(argv: Sequence[str] | None) -> int:
    from ..errors import ExportError, UsageError
    from ..pipelines.recipes import RECIPES
    from ..training.backend import BACKEND_VARIABLE

    _escape_output()
    arguments = _parser(RECIPES).parse_args(argv)
    if not (vars(arguments).get("train_only") and os.environ.get(BACKEND_VARIABLE)):
        # tf2onnx converts TensorFlow graphs only. The backend in ~/.keras/keras.json is not used.
        os.environ[BACKEND_VARIABLE] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # off by default without AVX-512; a quarter slower
    for library in ("absl", "tensorflow", "tf2onnx"):  # what matters is in the errors
        logging.getLogger(library).setLevel(logging.CRITICAL)
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

    try:
        check_installed()
        result = arguments.run(arguments, sys.stderr)
    except ExportError as error:
        print(f"convserve-export: {error}", file=sys.stderr)
        return ExitCode.USAGE_ERROR if isinstance(error, UsageError) else ExitCode.FAILED
    if not isinstance(result, CommandResult):
        result = CommandResult(result)
    print(result.output, flush=True)
    for line in next_steps(result):
        print(line, file=sys.stderr)
    return ExitCode.OK


def _escape_output() -> None:
    """Escape characters that standard output and error cannot encode, such as names that are not UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _parser(recipes: Mapping[str, Recipe]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="convserve-export",
        description="Train a network with Keras and publish it as a verified ONNX model.",
        epilog=_EPILOG,
    )
    commands = parser.add_subparsers(dest="network", metavar="COMMAND", title="commands", required=True)
    data = os.environ.get(DATA_VARIABLE) or None
    for name, recipe in recipes.items():
        command = commands.add_parser(name, help=recipe.description, description=recipe.description)
        _add_network_options(command, recipe, data)
        command.set_defaults(run=_export_network)
    subcommands.add(commands, data)
    return parser


def _export_network(arguments: argparse.Namespace, report: TextIO) -> CommandResult:
    from ..pipelines.export_options import ExportOptions
    from ..pipelines.pipeline import export_network, train_only
    from ..pipelines.recipes import RECIPES

    options = ExportOptions(
        data=arguments.data,
        models=arguments.models,
        seed=arguments.seed,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        limit=arguments.limit,
        classes=arguments.classes,
        members=arguments.members,
        checkpoints=arguments.checkpoints,
        resume=arguments.resume,
        start_from=arguments.start_from,
        mixed_precision=arguments.mixed_precision,
        distribute=arguments.distribute,
        random_weights=arguments.weights == "random",
        name=arguments.name,
        description=arguments.description,
        replace_labels=arguments.replace_labels,
    )
    recipe = RECIPES[arguments.network]
    if arguments.train_only:
        return CommandResult(train_only(arguments.network, recipe, options, report))
    exported = export_network(arguments.network, recipe, options, report)
    return CommandResult(exported.version, exported.checkpoints)


def _add_network_options(command: argparse.ArgumentParser, recipe: Recipe, data: str | None) -> None:
    _add_data_options(command.add_argument_group("data"), data)
    _add_training_options(command.add_argument_group("training"), recipe)
    _add_output_options(command.add_argument_group("output"))


def _add_data_options(group: argparse._ArgumentGroup, data: str | None) -> None:
    add_data(group, data, "folder of the data set; convnet and lenet5 download MNIST without it")
    group.add_argument(
        "--limit",
        type=integer_from(2),
        metavar="N",
        help="use at most N training images per class, for a quick trial (default: all)",
    )
    group.add_argument(
        "--classes",
        type=integer_from(2),
        metavar="N",
        help="required number of classes; with --weights random, the number to build (default: any)",
    )


def _add_training_options(group: argparse._ArgumentGroup, recipe: Recipe) -> None:
    plan = recipe.schedule.plan
    group.add_argument(
        "--epochs",
        type=integer_from(1),
        metavar="N",
        help=f"passes over the training images (default: {plan.epochs})",
    )
    group.add_argument(
        "--batch-size",
        type=integer_from(1),
        metavar="N",
        help=f"images per training step (default: {plan.batch_size})",
    )
    group.add_argument(
        "--members",
        type=integer_from(1),
        metavar="N",
        help=f"networks to train and combine into an ensemble (default: {recipe.members})",
    )
    # The former name of --members.
    group.add_argument("--columns", type=integer_from(1), dest="members", help=argparse.SUPPRESS)
    group.add_argument(
        "--seed",
        type=integer_from(0),
        metavar="N",
        default=0,
        help="random seed; the same seed gives the same weights (default: %(default)s)",
    )
    group.add_argument(
        "--checkpoints",
        type=Path,
        metavar="DIR",
        help="folder of the checkpoints, written after each epoch (default: a new folder in .checkpoints)",
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="continue from the last checkpoint, if there is one (default: start from the beginning)",
    )
    group.add_argument(
        "--start-from",
        metavar="[NAME/]VERSION",
        help="start from the weights of this published version; signnet then learns from damaged images, in "
        "fewer epochs and with a lower learning rate (default: random weights)",
    )
    group.add_argument(
        "--mixed-precision",
        action="store_true",
        help="compute in 16 bits during training; the published graph computes in 32 (default: 32 bits)",
    )
    group.add_argument(
        "--distribute",
        action="store_true",
        help="distribute each batch over all visible GPUs (default: one device)",
    )


def _add_output_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--name",
        metavar="NAME",
        help="name of the model; required unless the data set is the network's own (default: the network's)",
    )
    group.add_argument(
        "--description",
        metavar="TEXT",
        help="description of the model in one sentence; required unless the data set is the network's own "
        "(default: the network's)",
    )
    add_models(group)
    add_replace_labels(group)
    exclusive = group.add_mutually_exclusive_group()
    exclusive.add_argument(
        "--train-only",
        action="store_true",
        help="train and keep only the checkpoints; --resume publishes them later, also on another machine. "
        "The environment variable KERAS_BACKEND may be tensorflow, jax or torch",
    )
    exclusive.add_argument(
        "--weights",
        choices=["trained", "random"],
        default="trained",
        help="publish trained weights, or random ones for benchmarks, without data (default: %(default)s)",
    )
