"""Settings on the command line: a flag each, which outranks its environment variable."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from ..errors import ConfigurationError
from .settings import PREFIX, Settings

CLIENT_KEY = "CONVSERVE_API_KEY"  # of the shell's own requests

_DESTINATION = "setting_"
# What everybody may read who lists the processes is no place for a key.
_WITHOUT_FLAG = ("api_keys",)
# The workshop's, the tests' and the client's own.
_OTHERS_VARIABLES = ("CONVSERVE_DATA", "CONVSERVE_TEST_DATA", CLIENT_KEY)


def add_settings(parser: argparse.ArgumentParser, names: Sequence[str] | None = None) -> None:
    """A flag for each setting that is named; for all that may have one if None are."""
    if names is None:
        names = [name for name in Settings.model_fields if name not in _WITHOUT_FLAG]
    group = parser.add_argument_group("settings", f"each can also be given as {PREFIX}<NAME>")
    for name in names:
        group.add_argument(
            "--" + name.replace("_", "-"),
            dest=_DESTINATION + name,
            metavar=name.upper(),
            default=argparse.SUPPRESS,
            help=_on_a_terminal(Settings.model_fields[name].description or ""),
        )


def _on_a_terminal(description: str) -> str:
    """As the settings page has it, but with links as paths and no % for argparse to fill in."""
    return re.sub(r"\[[^]]*\]\(([^)]*)\)", r"docs/\1", description).replace("%", "%%")


def read_settings(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Settings:
    """The settings that the flags of `add_settings` and the environment's variables give.

    Raises:
        ConfigurationError: one of them cannot be.
    """
    given = {
        key.removeprefix(_DESTINATION): value
        for key, value in vars(arguments).items()
        if key.startswith(_DESTINATION)
    }
    try:
        settings = Settings.of(environment, given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        where = f"--{name.replace('_', '-')} or {PREFIX}{name.upper()}: " if name else ""
        raise ConfigurationError(f"{where}{first['msg']}") from error
    _warn_of_unknown_variables(environment)
    return settings


def _warn_of_unknown_variables(environment: Mapping[str, str]) -> None:
    """A misspelt variable would otherwise be ignored in silence."""
    known = {*(PREFIX + name.upper() for name in Settings.model_fields), *_OTHERS_VARIABLES}
    for name in sorted(environment):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            print(f"convserve: {name} is set, but there is no such setting", file=sys.stderr)
