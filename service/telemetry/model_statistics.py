"""The statistics of a model version, as the Open Inference Protocol's statistics extension defines them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import IntEnum, auto

import numpy as np
from numpy.typing import NDArray

from ..system.shared_memory import IntTable


class Field(IntEnum):
    """Indices of a row; durations are in nanoseconds, times in milliseconds since 1970."""

    SUCCESS_COUNT = 0
    SUCCESS = auto()
    FAIL_COUNT = auto()
    FAIL = auto()
    QUEUE = auto()
    COMPUTE_INPUT = auto()
    COMPUTE_INFER = auto()
    COMPUTE_OUTPUT = auto()
    INFERENCE_COUNT = auto()
    EXECUTION_COUNT = auto()
    LAST_INFERENCE = auto()


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all workers: `fields` indexed by `Field`, `batches` and `batch_ns` by batch size."""

    fields: NDArray[np.int64]
    batches: NDArray[np.int64]
    batch_ns: NDArray[np.int64]


class ModelStatistics:
    """The statistics of one version, summed over all workers.

    Args:
        key: identifies the version in `table`.
        max_batch_size: the largest size of a batch.
        table: the table of all versions and workers.
    """

    def __init__(self, key: str, max_batch_size: int, table: IntTable) -> None:
        self._key = key
        self._table = table
        self._sizes = max_batch_size + 1
        self._batches = len(Field)
        self._batch_ns = len(Field) + self._sizes
        self._numbers = table.row(key, len(Field) + 2 * self._sizes)

    def record_success(self, seconds: float, *, decode: float, queue: float, compute: float) -> None:
        """Count a successful request, with the seconds of its stages."""
        numbers = self._numbers
        numbers[Field.SUCCESS_COUNT] += 1
        numbers[Field.SUCCESS] += int(seconds * 1e9)
        numbers[Field.QUEUE] += int(queue * 1e9)
        numbers[Field.COMPUTE_INPUT] += int(decode * 1e9)
        numbers[Field.COMPUTE_INFER] += int(compute * 1e9)
        numbers[Field.COMPUTE_OUTPUT] += int(max(0.0, seconds - decode - queue - compute) * 1e9)

    def record_failure(self, seconds: float) -> None:
        """Count a request that was rejected or failed after `seconds`."""
        self._numbers[Field.FAIL_COUNT] += 1
        self._numbers[Field.FAIL] += int(seconds * 1e9)

    def record_batch(self, size: int, seconds: float) -> None:
        """Count a batch that the engine ran."""
        numbers = self._numbers
        numbers[Field.INFERENCE_COUNT] += size
        numbers[Field.EXECUTION_COUNT] += 1
        numbers[Field.LAST_INFERENCE] = time.time_ns() // 1_000_000
        numbers[self._batches + size] += 1
        numbers[self._batch_ns + size] += int(seconds * 1e9)

    def totals(self) -> Totals:
        """The sum over all workers, including ended ones."""
        length = len(self._numbers)
        every = [
            np.array(numbers, np.int64)
            for key, numbers in self._table.rows()
            if key == self._key and len(numbers) == length
        ]
        total = np.sum(every, axis=0)
        fields, batches, batch_ns = np.split(total, [len(Field), len(Field) + self._sizes])
        fields[Field.LAST_INFERENCE] = max(numbers[Field.LAST_INFERENCE] for numbers in every)
        return Totals(fields, batches, batch_ns)
