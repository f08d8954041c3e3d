"""The command line, as a process, on synthetic digits."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from export.cli.main import main
from export.datasets import mnist, synthetic_images
from export.evaluation.verify import predict_onnx
from export.pipelines.export_options import ExportOptions
from export.pipelines.pipeline import Published, export_network
from export.pipelines.recipes import RECIPES
from tests.unit.export.conftest import (
    OWN,
    ROOT,
    SEED,
    SMALL,
    Command,
    Exported,
    clean_environment,
)


def document(version: Path) -> Any:
    return json.loads((version / "manifest.json").read_text())


def test_export_publishes_version_1_and_prints_its_path(exported: Exported) -> None:
    completed = exported.completed
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout == f"{exported.models / 'convnet' / '1'}\n"
    assert [path.name for path in exported.models.iterdir()] == ["convnet"]
    assert sorted(path.name for path in (exported.models / "convnet" / "1").iterdir()) == [
        "README.md",
        "confusion.png",
        "curves.json",
        "curves.png",
        "example.png",
        "golden.npz",
        "kernels.png",
        "manifest.json",
        "mistakes.png",
        "model.onnx",
        "reliability.png",
    ]


def test_export_reports_its_progress_on_stderr(exported: Exported) -> None:
    lines = exported.completed.stderr.splitlines()
    assert lines[0].startswith("digits in the format of MNIST: 275 training images, 25 validation images, ")
    assert lines[0].endswith(", 100 test images, 10 classes")
    assert lines[1].split("  ") == ["", "class", "training", "validation (held out)", "test"]
    rows = [line.split() for line in lines[2:12]]
    assert [row[0] for row in rows] == list("0123456789")
    assert all(int(row[1]) + int(row[2]) == 30 and row[3] == "10" for row in rows)
    assert lines[12].startswith("[############............] epoch 1/2  loss ")
    assert lines[13].startswith("[########################] epoch 2/2  loss ")
    assert lines[14].startswith("ONNX graph of ")
    assert lines[14].endswith(
        " without a temperature: 25 validation images are too few to fit one, at least 300 are needed"
    )
    assert len(lines) == 17


def test_last_lines_tell_how_to_serve_and_where_checkpoints_are(exported: Exported) -> None:
    """The command that serves is tried in the tests of the import."""
    *_, ask, checkpoints = exported.completed.stderr.splitlines()
    version = exported.models / "convnet" / "1"
    assert ask == (
        f"serve it: convserve serve --models {exported.models}; ask it in another terminal: curl "
        f"--data-binary @{version / 'example.png'} -H 'Content-Type: image/png' http://127.0.0.1:8000/models/convnet/classify"
    )
    folder = checkpoints.removeprefix("checkpoints: ").removesuffix(" (--resume continues from them)")
    assert [path.name for path in Path(folder).iterdir()] == ["member-1.npz"]


def test_manifest_matches_the_training_and_the_graph(exported: Exported, digits: Path) -> None:
    version = exported.models / "convnet" / "1"
    manifest, dataset = document(version), mnist.load(digits)
    assert manifest["onnx"]["parameters"] == 104_202
    assert manifest["labels"] == list("0123456789")

    training = manifest["training"]
    assert training["dataset"] == dataset.name
    assert training["dataset_sha256"] == dataset.sha256
    assert (training["examples"], training["epochs"], training["seed"]) == (275, 2, SEED)
    assert training["seconds"] > 0
    assert training["trainer"].startswith(f"tensorflow {training['libraries']['tensorflow']} on ")
    assert set(training["libraries"]) == {
        "python", "keras", "numpy", "onnx", "onnxruntime", "tensorflow", "tf2onnx"
    }  # fmt: skip

    outputs = predict_onnx((version / "model.onnx").read_bytes(), dataset.test.read(np.arange(100))[0])
    evaluation = manifest["evaluation"]
    assert (evaluation["dataset"], evaluation["examples"]) == (dataset.name, 100)
    assert evaluation["accuracy"] == np.mean(outputs.argmax(axis=1) == dataset.test.labels)
    assert evaluation["accuracy"] <= evaluation["top5"] <= 1
    assert manifest["parity"]["examples"] == 100
    assert manifest["parity"]["max_abs_difference"] <= 1e-5
    assert manifest["parity"]["argmax_equal"] is True


def test_golden_outputs_are_those_of_keras_for_synthetic_images(exported: Exported) -> None:
    version = exported.models / "convnet" / "1"
    with np.load(version / "golden.npz", allow_pickle=False) as golden:
        inputs, outputs = golden["inputs"], golden["outputs"]
    np.testing.assert_array_equal(inputs, synthetic_images.golden_digits(SEED))
    found_outputs = predict_onnx((version / "model.onnx").read_bytes(), inputs)
    np.testing.assert_allclose(found_outputs, outputs, atol=document(version)["golden"]["tolerance"] / 10)


def test_example_label_is_predicted_by_the_graph(exported: Exported) -> None:
    version = exported.models / "convnet" / "1"
    example = document(version)["example"]
    with Image.open(version / example["file"]) as image:
        pixels = np.asarray(image)[np.newaxis, ..., np.newaxis]
    output = predict_onnx((version / "model.onnx").read_bytes(), pixels)
    assert example["label"] == str(output.argmax())


def test_second_export_publishes_the_next_version_with_the_same_graph(
    exported: Exported, digits: Path, tmp_path: Path
) -> None:
    """The first export ran in another process."""
    models = tmp_path / "models"
    shutil.copytree(exported.models, models)
    options = ExportOptions(
        data=digits,
        models=models,
        epochs=2,
        batch_size=32,
        seed=SEED,
        limit=30,
        checkpoints=tmp_path / "checkpoints",
        name="convnet",
        description="Drawn digits.",
    )
    version = export_network("convnet", RECIPES["convnet"], options, io.StringIO()).version
    assert version == models / "convnet" / "2"
    first, second = document(models / "convnet" / "1"), document(version)
    assert second["version"] == "2"
    assert first["onnx"] == second["onnx"]
    assert first["evaluation"] == second["evaluation"]


def test_interrupted_training_publishes_nothing(start: Command, digits: Path, tmp_path: Path) -> None:
    process = start(
        "convnet",
        *("--data", digits, "--models", tmp_path / "models", "--checkpoints", tmp_path / "checkpoints"),
        *("--epochs", "100000", *OWN),
    )
    assert process.stderr is not None
    lines = [process.stderr.readline() for _ in range(13)]
    assert "epoch 1/100000" in lines[12], lines
    process.send_signal(signal.SIGINT)
    stdout, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stdout == ""
    assert rest.splitlines()[-1] == "convserve-export: interrupted, nothing published"
    assert all(line.startswith("[") for line in rest.splitlines()[:-1])
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.usefixtures("_environment")
def test_resumed_training_gives_the_same_graph(
    start: Command, digits: Path, exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The training begins in another process, with other settings of Keras, which have no effect."""
    models = tmp_path / "models"
    command = (
        "convnet",
        "--data",
        digits,
        "--models",
        models,
        "--checkpoints",
        tmp_path / "checkpoints",
        *SMALL,
    )
    settings = {
        "image_data_format": "channels_first",
        "floatx": "float16",
        "epsilon": 0.1,
        "backend": "torch",
    }
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    process = start(*command, KERAS_HOME=str(tmp_path))
    assert process.stderr is not None
    lines = [process.stderr.readline() for _ in range(13)]
    assert "epoch 1/2" in lines[12], lines
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (models / "convnet").exists()

    code = main([*map(str, command), "--resume"])
    stderr = capsys.readouterr().err
    assert code == 0, stderr
    assert [line[:38] for line in stderr.splitlines() if "epoch" in line] == [
        "[########################] epoch 2/2  "
    ]
    graphs = [folder / "convnet" / "1" / "model.onnx" for folder in (models, exported.models)]
    assert graphs[0].read_bytes() == graphs[1].read_bytes()


def test_failed_download_names_the_data_option(start: Command, tmp_path: Path) -> None:
    """Uses the discard port of this machine as a proxy, where nothing listens."""
    nowhere = "http://127.0.0.1:9"
    process = start(
        "convnet",
        "--models",
        tmp_path / "models",
        KERAS_HOME=str(tmp_path),
        HTTPS_PROXY=nowhere,
        https_proxy=nowhere,
    )
    stdout, stderr = process.communicate()
    assert process.returncode == 1
    assert stdout == ""
    sentence = stderr.splitlines()[-1]
    assert sentence.startswith(
        "convserve-export: MNIST cannot be downloaded; pass --data DIR (or set CONVSERVE_DATA)"
    )
    assert list((tmp_path / "models").iterdir()) == []


@pytest.fixture
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restores the variables that `main` sets."""
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.mark.usefixtures("_environment")
class TestErrorMessages:
    """Runs in this process, because errors are reported before TensorFlow is imported."""

    def error(self, capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
        assert main([str(argument) for argument in arguments]) == 1
        stdout, stderr = capsys.readouterr()
        assert stdout == ""
        (sentence,) = stderr.splitlines()
        return sentence.removeprefix("convserve-export: ")

    def test_empty_folder_is_rejected(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "data").mkdir()
        sentence = self.error(capsys, "convnet", "--data", tmp_path / "data", "--models", tmp_path / "models")
        assert sentence.startswith(f"{tmp_path / 'data'} contains neither train-images-idx3-ubyte.gz nor ")
        assert list((tmp_path / "models").iterdir()) == []

    def test_data_set_of_others_needs_a_name(
        self, digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        command = ["convnet", "--data", str(digits), "--models", str(tmp_path)]
        assert main(command) == 2
        assert capsys.readouterr().err == (
            "convserve-export: digits in the format of MNIST is not MNIST, the data set of convnet; give the "
            "model --name and --description\n"
        )

    def test_data_variable_is_the_default_of_the_option(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CONVSERVE_DATA", str(tmp_path / "from the variable"))
        assert "from the variable is not a folder" in self.error(capsys, "convnet", "--models", tmp_path)
        sentence = self.error(capsys, "convnet", "--models", tmp_path, "--data", tmp_path / "from the option")
        assert "from the option is not a folder" in sentence

    def test_image_network_without_a_folder_is_rejected(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        sentence = self.error(capsys, "signnet", "--models", tmp_path / "models")
        assert sentence.startswith("this data set is not downloaded: pass --data DIR (or set CONVSERVE_DATA)")

    def test_unexpected_number_of_classes_is_rejected(
        self, digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        sentence = self.error(capsys, "convnet", "--data", digits, "--models", tmp_path, "--classes", "3755")
        assert sentence == "digits in the format of MNIST has 10 classes, but --classes requires 3,755"

    def test_unwritable_repository_is_rejected(
        self, digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "models").write_bytes(b"")
        sentence = self.error(capsys, "convnet", "--data", digits, "--models", tmp_path / "models")
        assert sentence == f"cannot write the model repository {tmp_path / 'models'}: File exists"

    def test_settings_of_keras_that_it_rejects_are_named(
        self, start: Command, digits: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "keras.json").write_text('{"floatx": "float8"}')
        process = start(
            "convnet", "--data", digits, "--models", tmp_path / "models", *SMALL, KERAS_HOME=str(tmp_path)
        )
        stdout, stderr = process.communicate()
        assert (process.returncode, stdout) == (1, "")
        assert stderr.splitlines()[-1].startswith(
            "convserve-export: Keras rejects the settings in ~/.keras/keras.json: Invalid `floatx` config"
        )


def test_missing_libraries_are_named_before_any_work(tmp_path: Path) -> None:
    """Runs an interpreter that finds only the libraries that serving needs."""
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    for name in ("numpy", "numpy.libs", "PIL", "pillow.libs"):
        for source in Path(np.__file__).parents[1].glob(name):
            (libraries / name).symlink_to(source)
    completed = subprocess.run(
        [
            sys.executable,
            "-S",
            "-m",
            "export",
            "convnet",
            "--data",
            tmp_path,
            "--models",
            tmp_path / "models",
        ],
        cwd=ROOT,
        env=clean_environment(PYTHONPATH=str(libraries)),
        capture_output=True,
        text=True,
    )
    assert completed.returncode == 1
    assert completed.stderr == (
        "convserve-export: this command needs convserve[export], which is not installed (no keras, "
        "matplotlib, onnx, tensorflow, tf2onnx); run pip install 'convserve[export]'\n"
    )
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nothing"],
        ["convnet", "--epochs", "0"],
        ["convnet", "--batch-size", "-1"],
        ["convnet", "--seed", "-1"],
        ["convnet", "--limit", "1"],
        ["convnet", "--limit", "many"],
        ["convnet", "--members", "0"],
        ["convnet", "--columns", "0"],
        ["filters", "--seed", "-1"],
        ["profile", "convnet", "--batch", "0"],
        ["convnet", "--classes", "1"],
        ["convnet", "--weights", "perfect"],
        ["convnet", "--weights", "random", "--train-only"],
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    assert exited.value.code == 2
    assert "convserve-export" in capsys.readouterr().err


def test_help_lists_networks_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["--help"])
    assert exited.value.code == 0
    stdout = capsys.readouterr().out
    assert all(name in stdout for name in RECIPES)
    with pytest.raises(SystemExit):
        main(["convnet", "--help"])
    assert f"(default: {RECIPES['convnet'].schedule.plan.epochs})" in capsys.readouterr().out


@pytest.mark.parametrize("command", [*RECIPES, "filters", "quantize", "import", "profile"])
def test_command_help_describes_and_groups_every_option(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        main([command, "--help"])
    assert exited.value.code == 0
    help_text = capsys.readouterr().out
    assert "--columns" not in help_text
    assert "(default: " in help_text
    _, _, ungrouped = help_text.partition("options:\n")
    assert ungrouped.split("\n\n")[0].split() == [
        "-h,",
        "--help",
        "show",
        "this",
        "help",
        "message",
        "and",
        "exit",
    ]


@pytest.mark.parametrize("flag", ["--members", "--columns"])
def test_columns_is_an_alias_of_members(flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int | None] = []

    def export_network(name: str, recipe: object, options: ExportOptions, report: object) -> Published:
        found.append(options.members)
        return Published(Path(name))

    monkeypatch.setattr("export.pipelines.pipeline.export_network", export_network)
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    assert main(["signnet", flag, "3"]) == 0
    assert found == [3]
