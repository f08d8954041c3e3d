"""Exit codes of the command `convserve-export`."""

from __future__ import annotations

from enum import IntEnum
from typing import Self


class ExitCode(IntEnum):
    """The exit codes of every command, each with a description for the manual."""

    description: str

    def __new__(cls, value: int, description: str) -> Self:
        member = int.__new__(cls, value)
        member._value_ = value
        member.description = description
        return member

    OK = 0, "The model was published, or trained if `--train-only` was given."
    FAILED = 1, "Nothing was published. One sentence on standard error states the reason."
    USAGE_ERROR = 2, "An argument is wrong or missing. Nothing was published."
    INTERRUPTED = 130, "Ctrl-C interrupted the command. Nothing was published."
