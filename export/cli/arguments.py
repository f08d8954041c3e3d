"""Argument types and options that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


def options_from(arguments: argparse.Namespace, options: type[T]) -> T:
    """Return a dataclass of options, each field from the argument of its name; others keep their default."""
    names = {field.name for field in fields(options)}
    return options(**{name: value for name, value in vars(arguments).items() if name in names})


def add_data(group: argparse._ActionsContainer, default: str | None, description: str) -> None:
    """Add --data; `default` is the value of the environment variable, if it is set."""
    group.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        default=default,
        help=f"{description} (default: $CONVSERVE_DATA)",
    )


def add_models(group: argparse._ActionsContainer) -> None:
    """Add --models."""
    group.add_argument(
        "--models",
        type=Path,
        metavar="DIR",
        default=Path("models"),
        help="folder of the model repository (default: %(default)s)",
    )


def add_replace_labels(group: argparse._ActionsContainer) -> None:
    """Add --replace-labels."""
    group.add_argument(
        "--replace-labels",
        action="store_true",
        help="publish although the labels differ from those of the version before (default: refuse)",
    )


def add_published_model(group: argparse._ActionsContainer) -> None:
    """Add the arguments that select a published model version."""
    group.add_argument("model", metavar="MODEL", help="name of the model in the repository")
    group.add_argument(
        "--model-version",
        metavar="N",
        help="version of the model (default: the highest one that is not quantized)",
    )
    add_models(group)


def integer_from(minimum: int) -> Callable[[str], int]:
    """Return an argument type for integers of at least `minimum`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not an integer") from None
        if value < minimum:
            raise argparse.ArgumentTypeError(f"{value} is less than {minimum}")
        return value

    return parse


def number(text: str) -> float:
    """Parse a decimal number or a fraction such as 1/255 or 1/127.5."""
    numerator, slash, denominator = text.partition("/")
    try:
        return float(Fraction(numerator.strip()) / (Fraction(denominator.strip()) if slash else 1))
    except (ValueError, ZeroDivisionError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error


def numbers(text: str) -> tuple[float, ...]:
    """Parse numbers separated by commas."""
    return tuple(map(number, text.split(",")))


def image_size(text: str) -> tuple[int, int]:
    """Parse a height and a width such as 224x224."""
    height, cross, width = text.partition("x")
    if not (cross and height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; expected HxW, such as 224x224")
    return int(height), int(width)


def name_and_version(text: str) -> tuple[str, str | None]:
    """Read `NAME` or `NAME/VERSION`."""
    name, slash, version = text.partition("/")
    if not name or (slash and not version.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a model; expected NAME or NAME/VERSION")
    return name, version or None
