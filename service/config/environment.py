"""Reads settings from environment variables, and rejects unknown variables."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ..errors import ConfigurationError
from .settings import PREFIX, Settings

# Read by the client, the export tools and the tests.
OTHER_NAMES = frozenset({"api_key", "data", "test_data", "fuzz", "faults"})

# Variables that Kubernetes injects for a Service called convserve or convserve-<name>.
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE_VARIABLE = re.compile(
    r"CONVSERVE(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_SERVICE_PORT = re.compile(r"CONVSERVE(_\w+)?_PORT")
_SERVICE_URL = re.compile(r"(tcp|udp|sctp)://")

# If these were ignored when empty, the server would start with less protection than was intended.
_NEVER_EMPTY = ("api_keys", "api_keys_file", "tls_client_ca")


@dataclass(frozen=True, slots=True)
class EnvironmentSettings:
    """
    Attributes:
        values: unparsed values by the name of the setting.
        ignored: variables that Kubernetes has injected for a Service.
    """

    values: Mapping[str, str]
    ignored: Sequence[str]


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def read_environment(environment: Mapping[str, str], overridden: Collection[str] = ()) -> EnvironmentSettings:
    """The settings among the variables; the case of a variable's name does not matter.

    An empty variable counts as unset.

    Args:
        overridden: settings given by flags, whose variables are not read.

    Raises:
        ConfigurationError: a variable is unknown, or an empty one would disable a protection.
    """
    given: dict[str, str] = {}
    ignored: list[str] = []
    for variable, value in sorted(environment.items()):
        if not variable.upper().startswith(PREFIX):
            continue
        if _is_set_by_kubernetes(variable.upper(), value):
            ignored.append(variable)
            continue
        name = variable[len(PREFIX) :].lower()
        if name in Settings.model_fields:
            given[name] = value
        elif name not in OTHER_NAMES:
            raise ConfigurationError(_unknown_variable(variable))
    values = {name: value for name, value in given.items() if name not in overridden}
    _check_empty({name for name, value in values.items() if not value})
    return EnvironmentSettings({name: value for name, value in values.items() if value}, ignored)


def _is_set_by_kubernetes(variable: str, value: str) -> bool:
    if _SERVICE_VARIABLE.fullmatch(variable):
        return True
    return _SERVICE_PORT.fullmatch(variable) is not None and _SERVICE_URL.match(value) is not None


def _unknown_variable(variable: str) -> str:
    known = [variable_of(name) for name in (*Settings.model_fields, *sorted(OTHER_NAMES))]
    nearest = difflib.get_close_matches(variable.upper(), known, n=1, cutoff=0.0)
    return f"unknown environment variable {variable}; the nearest is {nearest[0]}"


def _check_empty(empty: Collection[str]) -> None:
    for name in _NEVER_EMPTY:
        if name in empty:
            raise ConfigurationError(
                f"{variable_of(name)} is empty; remove the variable to run without this protection"
            )
    certificate, key = "tls_cert", "tls_key"
    if (certificate in empty) != (key in empty):
        one, other = (certificate, key) if certificate in empty else (key, certificate)
        raise ConfigurationError(
            f"{variable_of(one)} is empty but {variable_of(other)} is not; set both, or remove both"
        )
