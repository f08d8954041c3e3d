"""The commands that do not train: `filters`, `quantize`, `import`, `evaluate`, `inspect` and others.

The parser of each command has the default `run`, a function of the parsed arguments and a stream for
progress. Its return value is printed.
"""

from __future__ import annotations

# Only modules with a short import time are imported here, as in main.py.
import argparse
from pathlib import Path
from typing import TextIO

from . import evaluation_commands, import_command, inspection_commands
from .arguments import add_data, add_models, add_published_model, integer_from

_FILTERS = "Publish a network of four fixed image filters, without training."
_QUANTIZE = "Publish an int8 or float16 version of a published model."
_PROFILE = "Show the time of each node of a published model."

_QUANTIZE_DETAILS = (
    "The version is published only if its accuracy on the test set drops by at most half a percentage point. "
    "A model with random weights needs no data set."
)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], data: str | None) -> None:
    """Add the parsers of all commands; `data` is the default of --data."""
    _add_filters(commands.add_parser("filters", help=_FILTERS, description=_FILTERS))
    _add_quantize(
        commands.add_parser("quantize", help=_QUANTIZE, description=f"{_QUANTIZE} {_QUANTIZE_DETAILS}"), data
    )
    import_command.add(commands, data)
    evaluation_commands.add(commands, data)
    inspection_commands.add(commands)
    _add_profile(commands.add_parser("profile", help=_PROFILE, description=_PROFILE))


def _add_filters(command: argparse.ArgumentParser) -> None:
    def run(arguments: argparse.Namespace, report: TextIO) -> Path:
        from ..pipelines.fixed_filters import export_filters
        from ..training.backend import start_tensorflow

        start_tensorflow()
        return export_filters(arguments.models, arguments.seed)

    output = command.add_argument_group("output")
    add_models(output)
    output.add_argument(
        "--seed",
        type=integer_from(0),
        metavar="N",
        default=0,
        help="random seed of the golden inputs (default: %(default)s)",
    )
    command.set_defaults(run=run)


def _add_quantize(command: argparse.ArgumentParser, data: str | None) -> None:
    def run(arguments: argparse.Namespace, report: TextIO) -> Path:
        from ..pipelines.reduce_precision import ReducePrecisionOptions, reduce_precision

        options = ReducePrecisionOptions(
            models=arguments.models,
            name=arguments.model,
            version=arguments.model_version,
            precision=arguments.precision,
            data=arguments.data,
        )
        return reduce_precision(options, report)

    add_published_model(command.add_argument_group("model"))
    add_data(command.add_argument_group("data"), data, "folder of the data set that the model was trained on")
    command.add_argument_group("output").add_argument(
        "--precision",
        choices=["int8", "float16"],
        default="int8",
        help="int8 for CPUs, float16 for devices with float16 arithmetic (default: %(default)s)",
    )
    command.set_defaults(run=run)


def _add_profile(command: argparse.ArgumentParser) -> None:
    def run(arguments: argparse.Namespace, report: TextIO) -> str:
        from ..graph.profile import format_profile, profile

        nodes = profile(arguments.models, arguments.model, arguments.model_version, arguments.batch)
        return "\n".join(format_profile(nodes))

    add_published_model(command.add_argument_group("model"))
    command.add_argument_group("measurement").add_argument(
        "--batch",
        type=integer_from(1),
        metavar="N",
        default=1,
        help="images per run (default: %(default)s)",
    )
    command.set_defaults(run=run)
