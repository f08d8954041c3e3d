"""Saves the state of a training after each epoch in one file, and loads it to resume the training.

The file is written under a temporary name, synced and renamed, so it always contains a complete epoch.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CheckpointError


@dataclass(frozen=True)
class Curves:
    """The learning curves: the mean cross-entropy and the accuracy, from 0 to 1, of each epoch.

    The training values are averaged over the epoch, on augmented images. The validation values are measured
    after the epoch on unchanged images, and can therefore be better.
    """

    loss: tuple[float, ...] = ()
    accuracy: tuple[float, ...] = ()
    validation_loss: tuple[float, ...] = ()
    validation_accuracy: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.loss)


@dataclass(frozen=True, eq=False)
class TrainingState:
    """The state of a training after an epoch.

    Attributes:
        values: the variables of the network, then those of the optimizer, in order.
        curves: the learning curves so far, with one value per completed epoch.
        seconds: the training time so far.
        trainer: the Keras backend and its device.
    """

    values: Sequence[NDArray[Any]]
    curves: Curves
    seconds: float
    trainer: str


def fingerprint(*parts: object) -> str:
    """Return a digest, 16 hexadecimal digits, of the `repr` of everything that determines the weights."""
    return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint file that belongs to the training with a fingerprint."""

    path: Path
    fingerprint: str

    def save(self, state: TrainingState) -> None:
        """Write the state, replacing the previous one.

        Raises:
            CheckpointError: the file cannot be written; the previous state is kept.
        """
        record = {
            "fingerprint": self.fingerprint,
            "curves": asdict(state.curves),
            "seconds": state.seconds,
            "trainer": state.trainer,
        }
        arrays = {f"value{number}": value for number, value in enumerate(state.values)}
        temporary = self.path.with_name(f".{self.path.name}-{secrets.token_hex(4)}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("wb") as file:
                    np.savez(file, allow_pickle=False, record=np.array(json.dumps(record)), **arrays)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(self.path)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise CheckpointError(
                f"cannot write the checkpoint {self.path}: {error.strerror or error}"
            ) from error

    def load(self) -> TrainingState | None:
        """Return the saved state, or None if there is none.

        Raises:
            CheckpointError: the file cannot be read, is damaged, or belongs to another training.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CheckpointError(
                f"cannot read the checkpoint {self.path}: {error.strerror or error}"
            ) from error
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                record = json.loads(str(archive["record"]))
                values = [archive[f"value{number}"] for number in range(len(archive.files) - 1)]
            curves = Curves(*(tuple(record["curves"][field.name]) for field in fields(Curves)))
            state = TrainingState(values, curves, float(record["seconds"]), str(record["trainer"]))
            found = record["fingerprint"]
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise CheckpointError(f"the checkpoint {self.path} is damaged: {error}") from error
        if found != self.fingerprint:
            raise CheckpointError(
                f"the checkpoint {self.path} belongs to another training: its data, plan or seed differ"
            )
        return state
