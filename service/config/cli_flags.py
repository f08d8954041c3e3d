"""Command-line flags of the settings; a flag overrides its environment variable."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from ..errors import ConfigurationError
from .environment import EnvironmentSettings, read_environment, variable_of
from .settings import Settings, settings_by_group

CLIENT_KEY = "CONVSERVE_API_KEY"  # the key that client commands send

_DESTINATION = "setting_"
# Every user of the machine can read the arguments of a process.
_WITHOUT_FLAG = ("api_keys",)
_METAVARS: Mapping[type, str] = {int: "INT", float: "FLOAT", Path: "PATH", str: "TEXT"}


def flag_of(name: str) -> str:
    """The command-line flag of a setting."""
    return "--" + name.replace("_", "-")


def add_settings(parser: argparse.ArgumentParser, names: Sequence[str] | None = None) -> None:
    """Add a flag for each named setting, by group; None adds all settings that may have a flag."""
    for group, members in settings_by_group().items():
        chosen = [name for name in members if (name not in _WITHOUT_FLAG if names is None else name in names)]
        if chosen:
            arguments = parser.add_argument_group(group.value)
            for name in chosen:
                _add_flag(arguments, name, Settings.model_fields[name])


def _add_flag(arguments: argparse._ArgumentGroup, name: str, field: FieldInfo) -> None:
    options: dict[str, Any]
    kind = _type_of(field)
    if kind is bool:
        options = {"action": argparse.BooleanOptionalAction}
    elif get_origin(kind) is Literal:
        options = {"type": str.lower, "choices": get_args(kind)}
    else:
        options = {"type": kind, "metavar": _METAVARS[kind]}
    arguments.add_argument(
        flag_of(name), dest=_DESTINATION + name, default=argparse.SUPPRESS, help=_help(field), **options
    )


def _type_of(field: FieldInfo) -> Any:
    """The type of a setting's value, without None."""
    if get_origin(field.annotation) is Literal:
        return field.annotation
    members = [member for member in get_args(field.annotation) if member is not NoneType]
    return members[0] if members else field.annotation


def _help(field: FieldInfo) -> str:
    text = (field.description or "").replace("`", "").replace("%", "%%")
    default = default_of(field)
    return text if default is None else f"{text} (default: {default})"


def default_of(field: FieldInfo) -> str | None:
    """The default value as text; None if the setting is unset by default."""
    if field.default_factory is not None:
        return "the shipped models"
    if isinstance(field.default, bool):
        return "true" if field.default else "false"
    return None if field.default is None else str(field.default)


def as_flags(values: Mapping[str, object]) -> list[str]:
    """Command-line arguments that set these values."""
    return [_as_flag(name, value) for name, value in values.items()]


def _as_flag(name: str, value: object) -> str:
    if isinstance(value, bool):
        return flag_of(name if value else f"no_{name}")
    return f"{flag_of(name)}={value}"


def read_settings(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Settings:
    """The settings from the flags of `add_settings` and the environment.

    Raises:
        ConfigurationError: a value is invalid, or a variable belongs to no setting.
    """
    flags = {
        key.removeprefix(_DESTINATION): value
        for key, value in vars(arguments).items()
        if key.startswith(_DESTINATION)
    }
    variables = read_environment(environment, flags)
    try:
        settings = Settings(**{**variables.values, **flags})
    except ValidationError as error:
        raise ConfigurationError(_first_error(error, flags)) from error
    _warn_ignored(variables)
    return settings


def _first_error(error: ValidationError, flags: Mapping[str, Any]) -> str:
    first = error.errors(include_url=False)[0]
    if not first["loc"]:
        return first["msg"]
    name = str(first["loc"][0])
    return f"{flag_of(name) if name in flags else variable_of(name)}: {first['msg']}"


def _warn_ignored(variables: EnvironmentSettings) -> None:
    if variables.ignored:
        print(
            f"convserve: ignored {', '.join(variables.ignored)}, which Kubernetes sets for a Service; "
            "enableServiceLinks: false in the pod prevents that",
            file=sys.stderr,
        )
