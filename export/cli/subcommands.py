"""The commands that train nothing: fixed kernels, int8, graphs made elsewhere, and a profile."""

from __future__ import annotations

# As in cli.py, only what is quick to import stands up here.
import argparse
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TextIO

Work = Callable[[argparse.Namespace, TextIO], object]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], data: str | None) -> None:
    """Each has `work`, which does what its arguments ask for and returns what is to be printed.

    `data` is the folder of the data set where --data is not given.
    """
    _filters(
        commands.add_parser("filters", help="Four fixed kernels of image processing; nothing is learned.")
    )
    _quantize(
        commands.add_parser("quantize", help="Publish an int8 or float16 version of a published model."), data
    )
    _import(commands.add_parser("import", help="Publish an ONNX classifier that was made elsewhere."))
    _profile(commands.add_parser("profile", help="Tell where a published model spends its time."))


def _filters(command: argparse.ArgumentParser) -> None:
    def work(arguments: argparse.Namespace, report: TextIO) -> Path:
        from ..pipelines.fixed_filters import export
        from ..training.backend import start_tensorflow

        start_tensorflow()
        return export(arguments.models, arguments.seed)

    _add_models(command)
    command.add_argument(
        "--seed", type=int, metavar="N", default=0, help="of the golden pictures (default: 0)"
    )
    command.set_defaults(work=work)


def _quantize(command: argparse.ArgumentParser, data: str | None) -> None:
    def work(arguments: argparse.Namespace, report: TextIO) -> Path:
        from ..pipelines.reduce_precision import Order, export

        order = Order(
            models=arguments.models,
            name=arguments.model,
            version=arguments.model_version,
            precision=arguments.precision,
            data=arguments.data,
        )
        return export(order, report)

    command.add_argument("model", metavar="MODEL", help="its name in the model repository")
    _add_version(command)
    _add_models(command)
    command.add_argument(
        "--data", type=Path, metavar="DIR", default=data, help="folder of the data set it was trained on"
    )
    command.add_argument(
        "--precision",
        choices=["int8", "float16"],
        default="int8",
        help="int8 is for processors (default), float16 for devices that multiply in it",
    )
    command.set_defaults(work=work)


def _import(command: argparse.ArgumentParser) -> None:
    def work(arguments: argparse.Namespace, report: TextIO) -> Path:
        from ..pipelines.import_onnx import Order, export

        names = Order.__dataclass_fields__
        return export(Order(**{key: value for key, value in vars(arguments).items() if key in names}), report)

    command.add_argument("graph", type=Path, metavar="FILE", help="the ONNX file")
    command.add_argument(
        "--labels", type=Path, metavar="FILE", required=True, help="one label a line, in order"
    )
    _add_models(command)
    command.add_argument("--name", metavar="NAME", help="the model's name (default: the file's)")
    command.add_argument("--description", metavar="TEXT", help="one sentence on it")
    command.add_argument("--layout", choices=["NHWC", "NCHW"], help="(default: found out)")
    command.add_argument(
        "--dtype", choices=["uint8", "float32"], help="(default: the graph's; any other fails)"
    )
    command.add_argument(
        "--size", type=_size, metavar="HxW", help="of the input, where the graph takes any height and width"
    )
    command.add_argument(
        "--resize",
        choices=["fit", "stretch", "crop"],
        default="crop",
        help="how pictures of another size are brought in (default: crop)",
    )
    command.add_argument(
        "--scale",
        type=_number,
        metavar="X",
        help="pixels from 0 to 255 are multiplied by this, such as 1/255",
    )
    command.add_argument("--mean", type=_numbers, metavar="R,G,B", help="then this is subtracted")
    command.add_argument("--std", type=_numbers, metavar="R,G,B", help="then it is divided by this")
    command.add_argument(
        "--output", choices=["probabilities", "logits"], help="what the graph gives (default: found out)"
    )
    command.set_defaults(work=work)


def _profile(command: argparse.ArgumentParser) -> None:
    def work(arguments: argparse.Namespace, report: TextIO) -> str:
        from ..graph.profile import profile, told

        nodes = profile(arguments.models, arguments.model, arguments.model_version, arguments.batch)
        return "\n".join(told(nodes))

    command.add_argument("model", metavar="MODEL", help="its name in the model repository")
    _add_version(command)
    _add_models(command)
    command.add_argument("--batch", type=int, metavar="N", default=1, help="pictures at once (default: 1)")
    command.set_defaults(work=work)


def _add_models(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--models",
        type=Path,
        metavar="DIR",
        default=Path("models"),
        help="model repository (default: models)",
    )


def _add_version(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--model-version", metavar="N", help="its version (default: the highest that is not quantised)"
    )


def _number(text: str) -> float:
    """Such as 0.5 or 1/255."""
    try:
        return float(Fraction(text.strip()))
    except (ValueError, ZeroDivisionError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from error


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(map(_number, text.split(",")))


def _size(text: str) -> tuple[int, int]:
    height, cross, width = text.partition("x")
    if not (cross and height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 224x224")
    return int(height), int(width)
