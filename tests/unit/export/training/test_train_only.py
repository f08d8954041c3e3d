"""Training with one command and publication with another, possibly with another Keras backend."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.cli.main import main
from tests.support.images import drawn_signs
from tests.unit.export.conftest import SMALL, Command, Exported


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restores the variables that `main` sets."""
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")


def test_resume_publishes_the_checkpoints_of_train_only(
    digits: Path,
    exported: Exported,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["convnet", "--data", str(digits), *SMALL]
    assert main([*command, "--train-only"]) == 0
    stdout, stderr = capsys.readouterr()
    folder = Path(stdout.rstrip("\n"))
    assert folder.parent == Path(".checkpoints")
    assert [path.name for path in folder.iterdir()] == ["member-1.npz"]
    assert [path.name for path in tmp_path.iterdir()] == [".checkpoints"]
    assert "epoch 2/2" in stderr
    assert "ONNX" not in stderr

    assert main([*command, "--resume"]) == 0
    stdout, stderr = capsys.readouterr()
    assert stdout == "models/convnet/1\n"
    assert "epoch" not in stderr
    at_once = exported.models / "convnet" / "1" / "model.onnx"
    assert Path("models/convnet/1/model.onnx").read_bytes() == at_once.read_bytes()


def test_network_trained_with_jax_is_published_with_tensorflow(
    start: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn_signs.write_folders(tmp_path / "data", train=12, test=6)
    models, checkpoints = tmp_path / "models", tmp_path / "checkpoints"
    command = ["signnet", "--data", tmp_path / "data", "--models", models, "--checkpoints", checkpoints]
    command += ["--members", "1", "--epochs", "2", "--batch-size", "10"]
    named = ["--name", "signs", "--description", "Drawn signs."]
    process = start(*command, "--train-only", "--distribute", KERAS_BACKEND="jax")
    stdout, stderr = process.communicate()
    assert (process.returncode, stdout) == (0, f"{checkpoints}\n"), stderr
    assert "--distribute has no effect: jax trains on one device\n" in stderr
    assert "epoch 2/2" in stderr
    assert not models.exists()

    assert main([*map(str, command), "--resume", *named]) == 0
    assert "epoch" not in capsys.readouterr().err
    version = models / "signs" / "1"
    manifest = json.loads((version / "manifest.json").read_text())
    trainer = manifest["training"]["trainer"]
    assert trainer.startswith(f"jax {importlib.metadata.version('jax')} on ")
    assert f"| trained by | {trainer} |" in (version / "README.md").read_text()
    assert manifest["parity"]["examples"] == 18
    assert manifest["parity"]["max_abs_difference"] <= 1e-4
    assert manifest["parity"]["argmax_equal"] is True

    shape = (4, 4, 100, 150)  # of the second convolution, which no rewrite changes
    with np.load(checkpoints / "member-1.npz") as kept:
        [kernel, *_] = [kept[name] for name in kept.files if kept[name].shape == shape]
    weights = map(onnx.numpy_helper.to_array, onnx.load(version / "model.onnx").graph.initializer)
    [published] = [weight for weight in weights if weight.shape == (150, 100, 4, 4)]
    np.testing.assert_array_equal(published, kernel.astype(np.float16).transpose(3, 2, 0, 1))


@pytest.mark.parametrize(
    ("backend", "sentence"),
    [
        ("openvino", "KERAS_BACKEND is 'openvino'; expected one of tensorflow, jax, torch"),
        ("torch", "KERAS_BACKEND is 'torch', which is not installed"),
    ],
)
def test_unusable_backend_is_rejected(
    backend: str, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Independent of the installation of PyTorch."""
    monkeypatch.setenv("KERAS_BACKEND", backend)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == backend else find(name))
    assert main(["convnet", "--train-only"]) == 1
    assert capsys.readouterr() == ("", f"convserve-export: {sentence}\n")
