"""The repository extension of the Open Inference Protocol: the index of models, load and unload.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from ...config.limits import JsonLimits
from ...errors import InvalidInput, shown
from ...inference.registry import Registry
from ...lifecycle.lifecycle import Lifecycle
from ...lifecycle.messages import Action
from ...lifecycle.states import VersionState
from ..shared.json_body import parse_json

# Parameters of clients that ask for nothing more than the call does.
HARMLESS = frozenset({"unload_dependents"})
STATES = {
    VersionState.CHECKING: "LOADING",
    VersionState.LOADING: "LOADING",
    VersionState.WARMING: "LOADING",
    VersionState.PREPARED: "LOADING",
    VersionState.DRAINING: "UNLOADING",
}


class IndexRequest(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    ready: bool = False


class ChangeRequest(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    parameters: dict[str, Any] = {}


_INDEX = TypeAdapter(IndexRequest)
_CHANGE = TypeAdapter(ChangeRequest)


@dataclass(frozen=True, slots=True)
class Repository:
    """The models of the repository and their states."""

    registry: Registry
    lifecycle: Lifecycle

    def index(self, *, ready_only: bool) -> list[dict[str, str]]:
        """The response of `POST /v2/repository/index`: every version with its state, by name and version."""
        registry = self.registry
        problems = registry.problems
        rows = [
            _row(model.name, model.version, "READY", problems.get(model.name, ""))
            for model in registry.models
        ]
        if ready_only:
            return rows
        rows += [_row(each.name, each.version, "UNAVAILABLE", each.reason) for each in registry.failures]
        known = {(row["name"], row["version"]) for row in rows}
        for life in self.lifecycle.lives:
            if life.state in STATES and (life.name, life.version) not in known:
                known.add((life.name, life.version))
                rows.append(_row(life.name, life.version, STATES[life.state], ""))
        names = {row["name"] for row in rows}
        rows += [
            _row(name, "", "UNAVAILABLE", problems[name]) for name in problems if name and name not in names
        ]
        return sorted(rows, key=lambda row: (row["name"], row["version"].rjust(20)))

    async def change(self, action: Action, name: str, parameters: Iterable[str]) -> None:
        """Load or unload a model.

        Raises:
            InvalidInput: the call has parameters that would upload or configure a model.
            Forbidden: nobody may change the models of this server without an API key.
            ConvserveError: as `Lifecycle.change`.
        """
        for parameter in parameters:
            if parameter not in HARMLESS:
                raise InvalidInput(
                    f"the parameter {shown(parameter)} is not accepted: models and their configuration are "
                    "changed in the model repository"
                )
        await self.lifecycle.change(action, name)


def read_index(body: bytes, limits: JsonLimits) -> IndexRequest:
    """The body of a request for the index; clients may leave it out.

    Raises:
        InvalidInput: it cannot be parsed.
    """
    return parse_json(_INDEX, body or b"{}", limits)


def read_parameters(body: bytes, limits: JsonLimits) -> Iterable[str]:
    """The names of the parameters in the body of a call; clients may leave it out.

    Raises:
        InvalidInput: it cannot be parsed.
    """
    return parse_json(_CHANGE, body or b"{}", limits).parameters


def _row(name: str, version: str, state: str, reason: str) -> dict[str, str]:
    return {"name": name, "version": version, "state": state, "reason": reason}
