"""What a version has done so far, in the numbers of the Open Inference Protocol's statistics extension.

The numbers lie in memory that the workers of one server share through files, so that whichever is asked can
tell the sum of all.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum, auto
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..system.shared_memory import map_shared


class Field(IntEnum):
    """Places in the array; durations are in nanoseconds, times in milliseconds since 1970."""

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
    """`fields` by `Field`; `batches` and `batch_ns` by batch size, from 0."""

    fields: NDArray[np.int64]
    batches: NDArray[np.int64]
    batch_ns: NDArray[np.int64]


class ModelStatistics:
    """The numbers of one version; one writer a process.

    Args:
        name: tells versions apart in `shared`; no name is the beginning of another and a hyphen.
        max_batch_size: the largest batch there will be.
        shared: the folder of the workers' files; None keeps the numbers to this process.
    """

    def __init__(self, name: str, max_batch_size: int, shared: Path | None) -> None:
        self._shared = shared
        self._prefix = f"statistics-{name}-"
        self._sizes = max_batch_size + 1
        self._batches = len(Field)
        self._batch_ns = len(Field) + self._sizes
        length = 8 * (len(Field) + 2 * self._sizes)
        if shared is None:
            self._numbers = memoryview(bytearray(length)).cast("q")
        else:
            whole = shared / f"{self._prefix}{os.getpid()}"
            unfinished = whole.with_name(f"unfinished-{whole.name}")
            self._numbers = memoryview(map_shared(unfinished, length)).cast("q")
            with suppress(FileNotFoundError):  # where there was no room for it
                unfinished.rename(whole)  # so that no reader ever finds it empty

    def answered(self, seconds: float, *, decode: float, queue: float, compute: float) -> None:
        """A request was answered after `seconds`, of which these were spent in its stages."""
        numbers = self._numbers
        numbers[Field.SUCCESS_COUNT] += 1
        numbers[Field.SUCCESS] += int(seconds * 1e9)
        numbers[Field.QUEUE] += int(queue * 1e9)
        numbers[Field.COMPUTE_INPUT] += int(decode * 1e9)
        numbers[Field.COMPUTE_INFER] += int(compute * 1e9)
        numbers[Field.COMPUTE_OUTPUT] += int(max(0.0, seconds - decode - queue - compute) * 1e9)

    def failed(self, seconds: float) -> None:
        """A request that named this version was refused or failed after `seconds`."""
        self._numbers[Field.FAIL_COUNT] += 1
        self._numbers[Field.FAIL] += int(seconds * 1e9)

    def ran(self, size: int, seconds: float) -> None:
        """The engine ran a batch."""
        numbers = self._numbers
        numbers[Field.INFERENCE_COUNT] += size
        numbers[Field.EXECUTION_COUNT] += 1
        numbers[Field.LAST_INFERENCE] = time.time_ns() // 1_000_000
        numbers[self._batches + size] += 1
        numbers[self._batch_ns + size] += int(seconds * 1e9)

    def totals(self) -> Totals:
        """The sum over all workers, those that have ended included."""
        if self._shared is None:
            every = [np.array(self._numbers, np.int64)]
        else:
            files = self._shared.glob(f"{self._prefix}[0-9]*")
            every = [np.fromfile(path, np.int64) for path in files if path.stat().st_size]
        total = np.sum(every, axis=0)
        fields, batches, batch_ns = np.split(total, [len(Field), len(Field) + self._sizes])
        fields[Field.LAST_INFERENCE] = max(numbers[Field.LAST_INFERENCE] for numbers in every)
        return Totals(fields, batches, batch_ns)
