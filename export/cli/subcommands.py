"""The commands that do not train: `filters`, `quantize`, `import` and `profile`.

The parser of each command has the default `run`, a function of the parsed arguments and a stream for
progress. Its return value is printed.
"""

from __future__ import annotations

# Only modules with a short import time are imported here, as in main.py.
import argparse
from pathlib import Path
from typing import TextIO

from .arguments import (
    add_data,
    add_models,
    add_published_model,
    image_size,
    integer_from,
    number,
    numbers,
)

_FILTERS = "Publish a network of four fixed image filters, without training."
_QUANTIZE = "Publish an int8 or float16 version of a published model."
_IMPORT = "Publish an ONNX classifier from another source."
_PROFILE = "Show the time of each node of a published model."

_QUANTIZE_DETAILS = (
    "The version is published only if its accuracy on the test set drops by at most half a percentage point. "
    "A model with random weights needs no data set."
)
_IMPORT_DETAILS = (
    "The graph must have one uint8 or float32 input with four axes and one float32 output, [batch, classes]. "
    "Properties that no option sets are inferred from the graph."
)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], data: str | None) -> None:
    """Add the parsers of all commands; `data` is the default of --data."""
    _add_filters(commands.add_parser("filters", help=_FILTERS, description=_FILTERS))
    _add_quantize(
        commands.add_parser("quantize", help=_QUANTIZE, description=f"{_QUANTIZE} {_QUANTIZE_DETAILS}"), data
    )
    _add_import(commands.add_parser("import", help=_IMPORT, description=f"{_IMPORT} {_IMPORT_DETAILS}"))
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


def _add_import(command: argparse.ArgumentParser) -> None:
    def run(arguments: argparse.Namespace, report: TextIO) -> Path:
        from ..pipelines.import_onnx import ImportOptions, import_onnx

        fields = ImportOptions.__dataclass_fields__
        options = ImportOptions(**{name: value for name, value in vars(arguments).items() if name in fields})
        return import_onnx(options, report)

    model = command.add_argument_group("model")
    model.add_argument("graph", type=Path, metavar="FILE", help="the ONNX file")
    model.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        required=True,
        help="text file with one label per line, in the order of the classes (required)",
    )
    model.add_argument("--name", metavar="NAME", help="name of the model (default: the name of the file)")
    model.add_argument(
        "--description",
        metavar="TEXT",
        help="description of the model in one sentence (default: the name of the file)",
    )
    _add_import_input(command.add_argument_group("input"))
    output = command.add_argument_group("output")
    output.add_argument(
        "--output", choices=["probabilities", "logits"], help="kind of the output (default: inferred)"
    )
    add_models(output)
    command.set_defaults(run=run)


def _add_import_input(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--layout", choices=["NHWC", "NCHW"], help="order of the input axes (default: inferred)"
    )
    group.add_argument(
        "--dtype",
        choices=["uint8", "float32"],
        help="expected dtype of the input (default: the dtype in the graph)",
    )
    group.add_argument(
        "--size",
        type=image_size,
        metavar="HxW",
        help="height and width of the input, required if they are dynamic (default: the size in the graph)",
    )
    group.add_argument(
        "--resize",
        choices=["fit", "stretch", "crop"],
        default="crop",
        help="how images of another size are resized (default: %(default)s)",
    )
    group.add_argument(
        "--scale",
        type=number,
        metavar="X",
        help="multiply pixels from 0 to 255 by X, such as 1/255 (default: 1)",
    )
    group.add_argument(
        "--mean",
        type=numbers,
        metavar="R,G,B",
        help="subtract these values per channel from the scaled pixels (default: 0)",
    )
    group.add_argument(
        "--std",
        type=numbers,
        metavar="R,G,B",
        help="divide the result by these values per channel (default: 1)",
    )


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
