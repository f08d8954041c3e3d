"""Markdown pieces that the generators of the reference pages share."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a `|` in a cell is escaped."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def relink(text: str) -> str:
    """Links relative to docs/, as descriptions in the code have them, made relative to docs/reference/."""
    return re.sub(r"\]\((?!https?://|#|\.\.)([^)]+)\)", r"](../\1)", text)


class _Captured(BaseException):
    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def parser_of(main: Callable[[Sequence[str]], int]) -> argparse.ArgumentParser:
    """The parser that a command's `main` builds, taken at the moment it would parse its arguments."""

    def capture(parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        raise _Captured(parser)

    with mock.patch.object(argparse.ArgumentParser, "parse_args", capture):
        try:
            main([])
        except _Captured as captured:
            return captured.parser
    raise RuntimeError(f"{main.__module__}.{main.__name__} parses no arguments")


def commands_of(parser: argparse.ArgumentParser) -> dict[str, tuple[str, argparse.ArgumentParser]]:
    """Each subcommand's one-line help and parser, by name."""
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return {
        choice.dest: (choice.help or "", action.choices[choice.dest])
        for action in actions
        for choice in action._choices_actions
    }
