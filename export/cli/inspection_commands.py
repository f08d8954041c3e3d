"""The command `inspect`, which publishes a model with the graph that explains its answers."""

from __future__ import annotations

# Only modules with a short import time are imported here, as in main.py.
import argparse
from pathlib import Path
from typing import TextIO

from .arguments import add_models, name_and_version, options_from

_INSPECT = "Publish a classifier with the graph from which the server explains its answers."
_DETAILS = (
    "inspect.onnx returns the outputs of all layers, and gradients; it takes its weights from the model's "
    "own graph, which stays as it is."
)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of the command."""
    command = commands.add_parser("inspect", help=_INSPECT, description=f"{_INSPECT} {_DETAILS}")

    def run(arguments: argparse.Namespace, report: TextIO) -> Path:
        from ..pipelines.inspection import InspectionOptions, publish_inspection

        return publish_inspection(options_from(arguments, InspectionOptions), report)

    model = command.add_argument_group("model")
    model.add_argument(
        "model",
        type=name_and_version,
        metavar="NAME[/VERSION]",
        help="the model, and its version unless it is the highest one that is not quantized",
    )
    add_models(model)
    command.add_argument_group("output").add_argument(
        "--figures",
        type=Path,
        metavar="FILE",
        help="faithfulness of each method, as convserve faithfulness writes it; the server does "
        "not offer methods that are no better than chance (default: offer all)",
    )
    command.set_defaults(run=run)
