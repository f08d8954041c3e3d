"""Classifies files by a running server, one image a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ..errors import RemoteServerError
from ..http_client import HttpClient
from ..system.regular_files import read_regular
from .inputs.source import reason
from .rows import Predictions, Query

# Rows are written after this many requests.
CHUNK = 8
# The statuses of a request whose image is invalid, or larger than the server takes.
_IMAGE_STATUSES = (400, 413)

_Row = tuple[Sequence[str], Sequence[int], Sequence[float]]
_NONE: _Row = ((), (), ())


class ServerClassifier:
    """Sends files to the native dialect of a server.

    Args:
        max_bytes: the size of the largest file that is read.

    Attributes:
        chunk: the number of files that should be classified together.
        model, version: of the last response; before it those of the query, or empty.
        top_k: the classes of an image; known after the first response.
    """

    chunk = CHUNK

    def __init__(self, client: HttpClient, query: Query, *, max_bytes: int) -> None:
        self._client = client
        self._path = _path(query)
        self._max_bytes = max_bytes
        self.model = query.model or ""
        self.version = query.version or ""
        self.top_k = query.top_k

    def classify(self, paths: Sequence[str], problems: Mapping[int, str]) -> Predictions:
        """The classes of the files.

        Args:
            problems: by the index of a path, the reason why there is nothing to read.

        Raises:
            RemoteServerError: the server is unreachable, or fails for another reason than the image.
        """
        errors = dict(problems)
        rows = [
            _NONE if index in errors else self._row(index, path, errors) for index, path in enumerate(paths)
        ]
        labels, indices, probabilities = zip(*rows, strict=True)
        return Predictions(self.model, self.version, self.top_k, errors, labels, indices, probabilities)

    def _row(self, index: int, path: str, errors: dict[int, str]) -> _Row:
        try:
            content = read_regular(path, self._max_bytes)
        except OSError as error:
            errors[index] = reason(error)
            return _NONE
        except ValueError as error:  # a NUL in the path
            errors[index] = str(error)
            return _NONE
        response = self._client.post(self._path, content, "application/octet-stream")
        document = response.json()
        if response.status in _IMAGE_STATUSES:
            errors[index] = _text(document.get("error"))
            return _NONE
        if response.status != 200:
            why = document.get("error", document)
            raise RemoteServerError(f"{self._client.url} responded with status {response.status}: {why}")
        return self._parsed(document)

    def _parsed(self, document: dict[str, Any]) -> _Row:
        try:
            self.model, self.version = _text(document["model"]), _text(document["version"])
            ranked = document["predictions"][0]["top_k"]
            self.top_k = len(ranked)
            return (
                [_text(each["label"]) for each in ranked],
                [int(each["index"]) for each in ranked],
                [float(each["probability"]) for each in ranked],
            )
        except (LookupError, TypeError, ValueError) as error:
            raise RemoteServerError(
                f"{self._client.url} did not return classes; is it a convserve server?"
            ) from error


def _text(value: object) -> str:
    """The value as valid Unicode, which a text of JSON need not be."""
    return str(value).encode(errors="backslashreplace").decode()


def _path(query: Query) -> str:
    model = "" if query.model is None else f"/models/{quote(query.model, safe='')}"
    version = "" if query.version is None else f"/versions/{quote(query.version, safe='')}"
    return f"{model}{version}/classify?top_k={query.top_k}"
