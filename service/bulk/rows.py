"""Files that are classified together, and what came of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .inputs.source import Source

# Characters of the paths of a chunk: as bytes they fit the buffer of a pipe, so that sending one never waits.
MAX_PATH_CHARACTERS = 1 << 14
# Longer than any path that the operating system opens.
MAX_PATH = 1 << 12


@dataclass(frozen=True, slots=True)
class Query:
    """The model that classifies, and the number of classes of each image.

    Attributes:
        model: None for the default model.
        version: None for the highest version.
        top_k: at least 1.
    """

    model: str | None
    version: str | None
    top_k: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive files of a listing.

    Attributes:
        number: the position of the chunk.
        problems: by the index of a path, the reason why there is nothing to read.
    """

    number: int
    paths: Sequence[str]
    problems: Mapping[int, str]

    def part(self, index: int) -> Chunk:
        """A chunk of one of its files."""
        problem = self.problems.get(index)
        return Chunk(self.number, self.paths[index : index + 1], {} if problem is None else {0: problem})


def chunks(sources: Iterable[Source], size: int) -> Iterator[Chunk]:
    """The sources in chunks of at most `size`."""
    number = 0
    paths: list[str] = []
    problems: dict[int, str] = {}
    characters = 0
    for path, problem in sources:
        if problem is None and len(path) > MAX_PATH:
            problem = "File name too long"
        if problem is not None:
            problems[len(paths)] = problem
        paths.append(path)
        characters += len(path)
        if len(paths) == size or characters > MAX_PATH_CHARACTERS:
            yield Chunk(number, paths, problems)
            number, paths, problems, characters = number + 1, [], {}, 0
    if paths:
        yield Chunk(number, paths, problems)


@dataclass(frozen=True, slots=True)
class Predictions:
    """The classes of the files of a chunk; each sequence has an element for each file.

    Attributes:
        top_k: the number of classes of each file.
        errors: by the index of a file, the reason why it could not be classified.
        labels, indices, probabilities: of the most probable classes, best first; empty for an error.
    """

    model: str
    version: str
    top_k: int
    errors: Mapping[int, str]
    labels: Sequence[Sequence[str]]
    indices: Sequence[Sequence[int]]
    probabilities: Sequence[Sequence[float]]

    @classmethod
    def failed(cls, model: str, version: str, top_k: int, reason: str) -> Predictions:
        """The error of a single file."""
        return cls(model, version, top_k, {0: reason}, [()], [()], [()])

    @classmethod
    def joined(cls, parts: Sequence[Predictions]) -> Predictions:
        """One object for several files that were classified one by one."""
        first = parts[0]
        return cls(
            first.model,
            first.version,
            first.top_k,
            {index: part.errors[0] for index, part in enumerate(parts) if part.errors},
            [part.labels[0] for part in parts],
            [part.indices[0] for part in parts],
            [part.probabilities[0] for part in parts],
        )


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a chunk in an output; `paths` are valid Unicode."""

    paths: Sequence[str]
    predictions: Predictions

    @classmethod
    def of(cls, chunk: Chunk, predictions: Predictions) -> Rows:
        return cls([as_text(path) for path in chunk.paths], predictions)

    def __len__(self) -> int:
        return len(self.paths)


def as_text(path: str) -> str:
    r"""The path as outputs contain it: bytes that are not UTF-8 appear as `\xNN`."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path).decode(errors="backslashreplace")
    return path
