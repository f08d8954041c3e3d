"""The commands that measure and revise a published model on labelled images."""

from __future__ import annotations

# Only modules with a short import time are imported here, as in main.py.
import argparse
from pathlib import Path
from typing import TextIO

from .arguments import add_data, add_models, integer_from, name_and_version, options_from

_EVALUATE = "Measure a published model on labelled images."
_CALIBRATE = "Publish a version of a model whose probabilities are as high as it is right."
_ROBUSTNESS = "Measure a published model on shifted, scaled, covered, blurred, compressed and noisy images."

_DIGITS = "Measure a model of digits on pictures as people bring them, such as a digit on a sheet of paper."
_REVISE = "Publish the same graph with another resize rule as the next version."

_EVALUATE_DETAILS = (
    "The images are prepared as by the server. The report has the accuracy, the calibration error, the "
    "result of each class and the most frequent confusions."
)
_CALIBRATE_DETAILS = (
    "The logits are divided by one number, the temperature. It is fitted on the training images that were "
    "held out from the training. The predicted classes and the weights stay."
)
_ROBUSTNESS_DETAILS = "The images are changed in the size of the model's input."
_DIGITS_DETAILS = (
    "Digits of the data set are drawn on paper, in bad light and with other pens. The table has the accuracy "
    "with the resize rules `fit` and `ink`."
)
_REVISE_DETAILS = (
    "It is evaluated on the test set, and published only if the accuracy drops by at most half a percentage "
    "point. For a model of digits and the rule `ink` the table of `digits` is published too."
)
_DATA = (
    "folder of the images: one folder per class, named like its label, below DIR or DIR/test; or the data "
    "set that the model was trained on"
)

# `robustness` reads no more images without --limit.
DEFAULT_ROBUSTNESS_IMAGES = 2000
DEFAULT_DIGITS = 2000


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], data: str | None) -> None:
    """Add the parsers of all five commands; `data` is the default of --data."""
    _add_evaluate(
        commands.add_parser("evaluate", help=_EVALUATE, description=f"{_EVALUATE} {_EVALUATE_DETAILS}"), data
    )
    _add_robustness(
        commands.add_parser(
            "robustness", help=_ROBUSTNESS, description=f"{_ROBUSTNESS} {_ROBUSTNESS_DETAILS}"
        ),
        data,
    )
    _add_digits(commands.add_parser("digits", help=_DIGITS, description=f"{_DIGITS} {_DIGITS_DETAILS}"), data)
    _add_revise(commands.add_parser("revise", help=_REVISE, description=f"{_REVISE} {_REVISE_DETAILS}"), data)
    _add_calibrate(
        commands.add_parser("calibrate", help=_CALIBRATE, description=f"{_CALIBRATE} {_CALIBRATE_DETAILS}"),
        data,
    )


def _add_evaluate(command: argparse.ArgumentParser, data: str | None) -> None:
    def run(arguments: argparse.Namespace, report: TextIO) -> str | Path:
        from ..pipelines.evaluate import EvaluateOptions, evaluate

        return evaluate(options_from(arguments, EvaluateOptions), report)

    _add_model(command)
    _add_data(command, data, None)
    output = command.add_argument_group("output")
    output.add_argument(
        "--compare",
        metavar="VERSION",
        help="evaluate this version too, and list the images whose predicted class differs",
    )
    output.add_argument(
        "--json", type=Path, metavar="FILE", help="write the report as JSON, with each mistake"
    )
    output.add_argument(
        "--plot", type=Path, metavar="FILE", help="write the confusion matrix and the calibration as PNG"
    )
    _add_publish(output)
    command.set_defaults(run=run)


def _add_robustness(command: argparse.ArgumentParser, data: str | None) -> None:
    def run(arguments: argparse.Namespace, report: TextIO) -> str | Path:
        from ..pipelines.evaluate import EvaluateOptions, measure_robustness

        return measure_robustness(options_from(arguments, EvaluateOptions), report)

    _add_model(command)
    _add_data(command, data, DEFAULT_ROBUSTNESS_IMAGES)
    output = command.add_argument_group("output")
    output.add_argument("--json", type=Path, metavar="FILE", help="write the table as JSON")
    _add_publish(output)
    command.set_defaults(run=run)


def _add_digits(command: argparse.ArgumentParser, data: str | None) -> None:
    def run(arguments: argparse.Namespace, report: TextIO) -> str:
        from ..pipelines.revisions.resize_rule import DigitOptions, measure_digits

        return measure_digits(options_from(arguments, DigitOptions), report)

    _add_model(command)
    _add_data(command, data, DEFAULT_DIGITS)
    command.add_argument_group("output").add_argument(
        "--json", type=Path, metavar="FILE", help="write the table as JSON"
    )
    command.set_defaults(run=run)


def _add_revise(command: argparse.ArgumentParser, data: str | None) -> None:
    def run(arguments: argparse.Namespace, report: TextIO) -> Path:
        from ..pipelines.revisions.resize_rule import ReviseOptions, revise

        return revise(options_from(arguments, ReviseOptions), report)

    _add_model(command)
    add_data(command.add_argument_group("data"), data, _DATA)
    command.add_argument_group("output").add_argument(
        "--resize",
        required=True,
        choices=["fit", "stretch", "crop", "ink"],
        help="the rule for pictures of another size than the input; "
        "`ink` finds one glyph and draws it in the middle, as MNIST does",
    )
    command.set_defaults(run=run)


def _add_calibrate(command: argparse.ArgumentParser, data: str | None) -> None:
    def run(arguments: argparse.Namespace, report: TextIO) -> Path:
        from ..pipelines.revisions.temperature import CalibrateOptions, calibrate

        return calibrate(options_from(arguments, CalibrateOptions), report)

    _add_model(command)
    add_data(command.add_argument_group("data"), data, "folder of the data set that the model was trained on")
    command.add_argument_group("output").add_argument(
        "--robustness",
        action="store_true",
        help="publish the table of robustness too (default: none)",
    )
    command.set_defaults(run=run)


def _add_model(command: argparse.ArgumentParser) -> None:
    model = command.add_argument_group("model")
    model.add_argument(
        "model",
        type=name_and_version,
        metavar="NAME[/VERSION]",
        help="the model, and its version unless it is the highest one that is not quantized",
    )
    add_models(model)


def _add_data(command: argparse.ArgumentParser, data: str | None, limit: int | None) -> None:
    group = command.add_argument_group("data")
    add_data(group, data, _DATA)
    group.add_argument(
        "--limit",
        type=integer_from(1),
        metavar="N",
        default=limit,
        help="use at most N images, evenly over the classes "
        f"(default: {'all' if limit is None else '%(default)s'})",
    )


def _add_publish(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--publish",
        action="store_true",
        help="publish the same graph with the result as the next version",
    )
