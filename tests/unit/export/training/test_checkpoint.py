from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from export.errors import CheckpointError
from export.training.checkpoint import Checkpoint, Curves, State, fingerprint

CURVES = Curves((2.0, 1.0), (0.5, 0.75), (1.5, 1.25), (0.6, 0.7))
STATE = State(
    [np.arange(6, dtype=np.float32).reshape(2, 3), np.array(7, np.int64)], CURVES, 12.5, "jax 1 on a GPU"
)


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "new" / "kept.npz", "mine")
    assert checkpoint.load() is None
    checkpoint.save(State([], Curves(), 0.0, "tensorflow 2 on CPU"))
    checkpoint.save(STATE)
    found = checkpoint.load()
    assert found is not None
    assert (found.curves, found.seconds, found.trainer) == (CURVES, 12.5, "jax 1 on a GPU")
    for one, other in zip(found.values, STATE.values, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["kept.npz"]


def test_it_is_not_another_trainings(tmp_path: Path) -> None:
    Checkpoint(tmp_path / "kept.npz", "mine").save(STATE)
    with pytest.raises(
        CheckpointError, match="is of another training: its data, plan or seed were different"
    ):
        Checkpoint(tmp_path / "kept.npz", "yours").load()


@pytest.mark.parametrize("kept", [0, 100, 600])
def test_a_damaged_file_is_a_sentence(kept: int, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "kept.npz", "mine")
    checkpoint.save(STATE)
    os.truncate(checkpoint.path, kept)
    with pytest.raises(CheckpointError, match=r"the checkpoint .*kept\.npz is damaged"):
        checkpoint.load()


def test_a_full_disk_is_a_sentence_and_leaves_the_epoch_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = Checkpoint(tmp_path / "kept.npz", "mine")
    checkpoint.save(STATE)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"cannot write the checkpoint .*: No space left on device"):
        checkpoint.save(State([], Curves(), 0.0, "tensorflow 2 on CPU"))
    found = checkpoint.load()
    assert found is not None
    assert found.curves == CURVES
    assert [path.name for path in tmp_path.iterdir()] == ["kept.npz"]


def test_a_fingerprint_tells_everything_apart() -> None:
    assert fingerprint("a", 1) == fingerprint("a", 1)
    assert len({fingerprint("a", 1), fingerprint("a", 2), fingerprint("a", "1"), fingerprint("a1")}) == 4
