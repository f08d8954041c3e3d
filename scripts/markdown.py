"""Markdown helpers that the generators of the reference pages share."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; each `|` in a cell is escaped."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def relink(text: str) -> str:
    """Return text with its links relative to docs/reference/; descriptions in the code use docs/."""
    return re.sub(r"\]\((?!https?://|#|\.\.)([^)]+)\)", r"](../\1)", text)


class _Captured(BaseException):
    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def parser_of(main: Callable[[Sequence[str]], int]) -> argparse.ArgumentParser:
    """Return the parser of a command by running `main` until it parses its arguments."""

    def capture(parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        raise _Captured(parser)

    with mock.patch.object(argparse.ArgumentParser, "parse_args", capture):
        try:
            main([])
        except _Captured as captured:
            return captured.parser
    raise RuntimeError(f"{main.__module__}.{main.__name__} parses no arguments")


def commands_of(parser: argparse.ArgumentParser) -> dict[str, tuple[str, argparse.ArgumentParser]]:
    """Return the one-line help and the parser of each subcommand by name."""
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return {
        choice.dest: (choice.help or "", action.choices[choice.dest])
        for action in actions
        for choice in action._choices_actions
    }
