"""Exit codes of the command `convserve`."""

from __future__ import annotations

from enum import IntEnum
from typing import Self


class ExitCode(IntEnum):
    """The exit codes of every command, each with a description for the manual.

    A server that a signal stopped ends by that signal instead; a shell reports it as 128 plus the signal's
    number: 143 after SIGTERM, 130 after Ctrl-C, 129 after the loss of its terminal. A command whose output
    nobody reads any more ends by SIGPIPE, 141.
    """

    description: str

    def __new__(cls, value: int, description: str) -> Self:
        member = int.__new__(cls, value)
        member._value_ = value
        member.description = description
        return member

    OK = 0, "The command succeeded."
    FAILED = (
        1,
        "Part of the work failed: an image could not be classified, a model version failed to load, "
        "a server could not be reached or is not ready, or requests of a measurement failed.",
    )
    USAGE_ERROR = 2, "An argument or a setting is invalid, or cannot be applied on this machine."
    NOTHING_TO_SERVE = 3, "The model repository contains no version that could be loaded."
