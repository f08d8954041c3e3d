"""Classifies files in this process, with the server's loader, decoder and engine."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from ..config.settings import Settings
from ..errors import InvalidImage, PayloadTooLarge
from ..inference.data_plane import build_loader
from ..inference.loader import max_batch_rows
from ..inference.model import LoadedModel
from ..inference.top_k import as_probabilities, best_classes
from ..system.regular_files import read_regular
from ..telemetry.metrics import ServerMetrics
from .inputs.source import reason
from .model_choice import choose_model
from .rows import Predictions, Query

# Larger batches are not faster on the CPU, and the rows of an interrupted chunk are lost.
MAX_CHUNK = 64
ENGINE_FAILED = "the engine failed on this image"

logger = logging.getLogger(__name__)


def open_classifier(settings: Settings, query: Query) -> FileClassifier:
    """Load the model of the query.

    Raises:
        ConvserveError: as `choose_model`.
    """
    loader = build_loader(settings, ServerMetrics(CollectorRegistry()))
    # The whole file is in memory while it is decoded.
    return FileClassifier(
        choose_model(settings, query, loader), query.top_k, max_bytes=settings.max_decode_bytes
    )


class FileClassifier:
    """Reads, decodes and classifies files in batches.

    Args:
        top_k: the classes of each image; all classes if the model has fewer.
        max_bytes: the size of the largest file that is read.

    Attributes:
        chunk: the number of files that should be classified together.
        top_k: the classes of each image.
    """

    def __init__(self, model: LoadedModel, top_k: int, *, max_bytes: int) -> None:
        self._model = model
        self._max_bytes = max_bytes
        self.top_k = min(top_k, len(model.manifest.labels))
        self.chunk = min(MAX_CHUNK, max_batch_rows(model.engine, model.manifest))
        if model.manifest.input.dynamic:
            self.chunk = MAX_CHUNK  # they run one by one

    @property
    def model(self) -> str:
        return self._model.name

    @property
    def version(self) -> str:
        return self._model.version

    def classify(self, paths: Sequence[str], problems: Mapping[int, str]) -> Predictions:
        """The classes of the files.

        Args:
            problems: by the index of a path, the reason why there is nothing to read.
        """
        errors = dict(problems)
        read: list[int] = []
        rows = self._decoded(paths, errors, read)
        found = self._ranked(rows, read, errors)
        none: tuple[Any, ...] = ((), (), ())
        columns = [found.get(index, none) for index in range(len(paths))]
        return Predictions(
            self.model,
            self.version,
            self.top_k,
            errors,
            labels=[each[0] for each in columns],
            indices=[each[1] for each in columns],
            probabilities=[each[2] for each in columns],
        )

    def _decoded(self, paths: Sequence[str], errors: dict[int, str], read: list[int]) -> list[NDArray[Any]]:
        """Batches of the files that can be decoded.

        Appends their indices to `read`, and adds the reasons of the others to `errors`.
        """
        decoder, dynamic = self._model.decoder, self._model.manifest.input.dynamic
        rows: list[NDArray[Any]] = []
        batch = None if dynamic else decoder.empty(len(paths))
        for index, path in enumerate(paths):
            if index in errors:
                continue
            try:
                row = decoder.decode(decoder.open(self._read(path)))
            except OSError as error:
                errors[index] = reason(error)
            except (InvalidImage, PayloadTooLarge, ValueError) as error:  # ValueError: a NUL in the path
                errors[index] = str(error)
            else:
                if batch is None:
                    rows.append(row[np.newaxis])
                else:
                    batch[len(read)] = row
                read.append(index)
        return rows if batch is None else [batch[: len(read)]] if read else []

    def _read(self, path: str) -> bytes:
        return read_regular(path, self._max_bytes, is_device_unlikely=True)

    def _ranked(
        self, batches: Sequence[NDArray[Any]], read: Sequence[int], errors: dict[int, str]
    ) -> dict[int, tuple[list[str], list[int], list[float]]]:
        """Labels, indices and probabilities by the index of the file; adds errors of the engine."""
        found: dict[int, tuple[list[str], list[int], list[float]]] = {}
        labels = self._model.manifest.labels
        start = 0
        for batch in batches:
            members = read[start : start + len(batch)]
            start += len(batch)
            for index, (indices, values) in zip(members, self._run(batch), strict=True):
                if indices is None:
                    errors[index] = ENGINE_FAILED
                else:
                    found[index] = [labels[each] for each in indices], indices, values
        return found

    def _run(self, rows: NDArray[Any]) -> list[tuple[list[int] | None, list[float]]]:
        """Indices and probabilities of the best classes of each row; None if the engine fails on it."""
        try:
            scores = _call(self._model.executor, self._scores, rows)
        except Exception:  # ONNX Runtime's exceptions have no other common base class
            if len(rows) == 1:
                logger.exception("the engine failed on an image")
                return [(None, [])]
            return [found for row in rows for found in self._run(row[np.newaxis])]
        probabilities = as_probabilities(scores, self._model.manifest.output.kind)
        best, values = best_classes(probabilities, self.top_k)
        return list(zip(best.tolist(), values.tolist(), strict=True))

    def _scores(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        step = self._model.manifest.max_batch_size
        engine = self._model.engine
        parts = [
            engine.run(engine.concat([rows[start : start + step]])) for start in range(0, len(rows), step)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _call(executor: Executor | None, run: Any, rows: NDArray[Any]) -> NDArray[np.float32]:
    """Run in the engine's thread if it has one: CUDA graphs are replayed by the thread that captured them."""
    scores: NDArray[np.float32] = run(rows) if executor is None else executor.submit(run, rows).result()
    return scores
