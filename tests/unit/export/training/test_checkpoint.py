from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from export.errors import CheckpointError
from export.training.checkpoint import Checkpoint, Curves, TrainingState, fingerprint

CURVES = Curves((2.0, 1.0), (0.5, 0.75), (1.5, 1.25), (0.6, 0.7))
STATE = TrainingState(
    [np.arange(6, dtype=np.float32).reshape(2, 3), np.array(7, np.int64)], CURVES, 12.5, "jax 1 on a GPU"
)


def test_saved_state_is_loaded_unchanged(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "new" / "kept.npz", "mine")
    assert checkpoint.load() is None
    checkpoint.save(TrainingState([], Curves(), 0.0, "tensorflow 2 on CPU"))
    checkpoint.save(STATE)
    found = checkpoint.load()
    assert found is not None
    assert (found.curves, found.seconds, found.trainer) == (CURVES, 12.5, "jax 1 on a GPU")
    for one, other in zip(found.values, STATE.values, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["kept.npz"]


def test_checkpoint_of_another_training_is_rejected(tmp_path: Path) -> None:
    Checkpoint(tmp_path / "kept.npz", "mine").save(STATE)
    with pytest.raises(CheckpointError, match="belongs to another training: its data, plan or seed differ"):
        Checkpoint(tmp_path / "kept.npz", "yours").load()


@pytest.mark.parametrize("kept", [0, 100, 600])
def test_damaged_checkpoint_is_rejected(kept: int, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "kept.npz", "mine")
    checkpoint.save(STATE)
    os.truncate(checkpoint.path, kept)
    with pytest.raises(CheckpointError, match=r"the checkpoint .*kept\.npz is damaged"):
        checkpoint.load()


def test_full_disk_keeps_the_previous_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = Checkpoint(tmp_path / "kept.npz", "mine")
    checkpoint.save(STATE)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"cannot write the checkpoint .*: No space left on device"):
        checkpoint.save(TrainingState([], Curves(), 0.0, "tensorflow 2 on CPU"))
    found = checkpoint.load()
    assert found is not None
    assert found.curves == CURVES
    assert [path.name for path in tmp_path.iterdir()] == ["kept.npz"]


def test_fingerprint_differs_for_different_parts() -> None:
    assert fingerprint("a", 1) == fingerprint("a", 1)
    assert len({fingerprint("a", 1), fingerprint("a", 2), fingerprint("a", "1"), fingerprint("a1")}) == 4
