"""The configuration of a model, `config.toml`; docs/reference/model-repository.md describes it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator

from ..errors import InvalidModel
from ..system.printable import printable
from ..system.regular_files import read_regular
from .manifest import Section

CONFIG_FILE = "config.toml"
MAX_CONFIG_BYTES = 64 * 1024
MAX_LABELS = 64
MAX_VERSIONS = 1000

# A label begins with a letter, so it is never taken for a version.
VersionLabel = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9._-]{0,63}$")]
VersionNumber = Annotated[int, Field(ge=1, lt=10**18)]

# The label of the version that requests without a version get.
STABLE = "stable"


class Latest(Section):
    """The highest versions."""

    latest: Annotated[int, Field(ge=1, le=MAX_VERSIONS)]


class ModelConfig(Section):
    """The versions to serve, and labels for them.

    Attributes:
        versions: `{latest = n}`, `"all"`, or a list of versions.
        labels: versions by label; a labelled version is served, whatever `versions` says.
    """

    versions: Latest | Literal["all"] | Annotated[list[VersionNumber], Field(max_length=MAX_VERSIONS)] = (
        Latest(latest=1)
    )
    labels: dict[VersionLabel, VersionNumber] = Field(default_factory=dict, max_length=MAX_LABELS)

    @model_validator(mode="after")
    def _check_versions(self) -> Self:
        if isinstance(self.versions, list) and not self.versions and not self.labels:
            raise ValueError("versions is empty and no version has a label: nothing would be served")
        return self


DEFAULT_CONFIG = ModelConfig()


def read_config(folder: Path) -> ModelConfig:
    """The configuration of the model in this folder; the default if it has none.

    Raises:
        InvalidModel: the file cannot be read or is not valid; the message says why.
    """
    path = folder / CONFIG_FILE
    try:
        text = read_regular(path, MAX_CONFIG_BYTES).decode()
        return ModelConfig.model_validate(tomllib.loads(text))
    except FileNotFoundError:
        return DEFAULT_CONFIG
    except OSError as error:
        raise InvalidModel(f"{CONFIG_FILE} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole file"
        raise InvalidModel(printable(f"{CONFIG_FILE} is not valid: {where}: {first['msg']}")) from error
    except (ValueError, RecursionError) as error:  # not UTF-8, or not TOML
        raise InvalidModel(printable(f"{CONFIG_FILE} is not valid: {error}")) from error
