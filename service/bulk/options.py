"""The options of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import ConfigurationError
from .rows import Query


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a run.

    Attributes:
        arguments: files, folders, patterns, and `-` for a list of paths on standard input.
        null: the list is separated by NUL characters.
        url: a running server to send the images to, with the API key `key`; None loads the model here.
        workers: processes; None for one a core, or one for few files.
        format: the name of the format; None for that of the suffix of `output`.
        output: the file to write; None for standard output.
        resume: keep the rows of an interrupted run.
        log_level: the lowest level that is logged.

    Raises:
        ConfigurationError: they contradict each other.
    """

    arguments: Sequence[str]
    null: bool
    query: Query
    url: str | None
    key: str | None
    workers: int | None
    format: str | None
    output: str | None
    resume: bool
    log_level: str

    def __post_init__(self) -> None:
        if self.query.version is not None and self.query.model is None:
            raise ConfigurationError("--model-version needs --model")
        if self.url is not None and self.workers is not None:
            raise ConfigurationError(
                "--workers are processes of this command; with --url a server classifies"
            )
