"""The state of a training after an epoch, in one file, so that it can go on after whatever ended it.

The file is written beside its place, synced and renamed: it is always that of a whole epoch.
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
    """One value an epoch: the mean cross-entropy, and the accuracy from 0 to 1.

    Those of training are taken on changed pictures while the weights still move, those of validation on
    pictures as they are, after the epoch: validation may well look better.
    """

    loss: tuple[float, ...] = ()
    accuracy: tuple[float, ...] = ()
    validation_loss: tuple[float, ...] = ()
    validation_accuracy: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.loss)


@dataclass(frozen=True, eq=False)
class State:
    """What a training needs to go on: `values` are all variables of the network, then of the optimizer, in
    their order. `seconds` have been spent, one epoch for each point of the curves, by `trainer`: what Keras
    computed with, and on what.
    """

    values: Sequence[NDArray[Any]]
    curves: Curves
    seconds: float
    trainer: str


def fingerprint(*parts: object) -> str:
    """Tells one training from another by all that decides its weights: 16 hexadecimal digits."""
    return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Checkpoint:
    """The file `path`, kept by the training with this fingerprint and by no other."""

    path: Path
    fingerprint: str

    def save(self, state: State) -> None:
        """Raises CheckpointError if it cannot be written; what was there before stays then."""
        record = {
            "fingerprint": self.fingerprint,
            "curves": asdict(state.curves),
            "seconds": state.seconds,
            "trainer": state.trainer,
        }
        arrays = {f"value{number}": value for number, value in enumerate(state.values)}
        scratch = self.path.with_name(f".{self.path.name}-{secrets.token_hex(4)}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with scratch.open("wb") as file:
                    np.savez(file, allow_pickle=False, record=np.array(json.dumps(record)), **arrays)
                    file.flush()
                    os.fsync(file.fileno())
                scratch.replace(self.path)
            finally:
                scratch.unlink(missing_ok=True)
        except OSError as error:
            raise CheckpointError(
                f"cannot write the checkpoint {self.path}: {error.strerror or error}"
            ) from error

    def load(self) -> State | None:
        """The state that was saved, None if none was.

        Raises:
            CheckpointError: the file is damaged, or that of another training.
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
            state = State(values, curves, float(record["seconds"]), str(record["trainer"]))
            owner = record["fingerprint"]
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise CheckpointError(f"the checkpoint {self.path} is damaged: {error}") from error
        if owner != self.fingerprint:
            raise CheckpointError(
                f"the checkpoint {self.path} is of another training: its data, plan or seed were different"
            )
        return state
