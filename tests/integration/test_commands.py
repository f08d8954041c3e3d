"""Output and exit codes of `convserve classify` and `check`."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from service import __version__
from tests.support.models.broken_versions import change_the_graph
from tests.support.models.gray_classifier import CLASSES, image, level, publish_shades
from tests.support.models.hostile_versions import edit_manifest
from tests.support.server.server_process import ServerProcess, convserve


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A folder with the images `one.png` and `two.png`."""
    (tmp_path / "one.png").write_bytes(image(level(1)))
    (tmp_path / "two.png").write_bytes(image(level(2)))
    return tmp_path


@pytest.fixture(params=["in process", "by a server"])
def where(request: pytest.FixtureRequest, shades: Path) -> list[str]:
    """Arguments for classification in the process itself or by a running server."""
    quiet = ["--log-level", "warning"]
    if request.param == "in process":
        return [*quiet, "--models", str(shades)]
    server: ServerProcess = request.getfixturevalue("server")
    return [*quiet, "--url", server.url]


def test_classify_prints_a_line_for_each_image(two: Path, where: list[str]) -> None:
    result = convserve("classify", *where, two / "one.png", two / "two.png")
    assert (result.returncode, result.stderr) == (0, "")
    first, second = result.stdout.splitlines()
    assert first.startswith(f"{two / 'one.png'}: shade 1 (")
    assert second.startswith(f"{two / 'two.png'}: shade 2 (")


def test_classify_prints_a_row_as_json(two: Path, where: list[str]) -> None:
    version = ["--model", "shades", "--model-version", "1"]
    result = convserve("classify", *where, "--json", "--top-k", "3", *version, two / "one.png")
    assert (result.returncode, result.stderr) == (0, "")
    row = json.loads(result.stdout)
    assert (row["path"], row["model"], row["version"]) == (str(two / "one.png"), "shades", "1")
    assert (row["label"], row["index"]) == ("shade 1", 1)
    assert [each["label"] for each in row["top_k"]] == ["shade 1", "shade 0", "shade 2"]


def test_classify_names_unreadable_files_and_continues(two: Path, where: list[str]) -> None:
    (two / "text.png").write_text("not an image")
    result = convserve("classify", *where, two / "text.png", two / "missing.png", two / "two.png")
    assert result.returncode == 1
    text, missing = result.stderr.splitlines()
    assert text.startswith(f"convserve: {two / 'text.png'}: ")
    assert missing == f"convserve: {two / 'missing.png'}: No such file or directory"
    assert result.stdout.startswith(f"{two / 'two.png'}: shade 2 (")


def test_classify_rejects_an_unknown_model(two: Path, server: ServerProcess) -> None:
    result = convserve("classify", "--url", server.url, "--model", "hues", two / "one.png")
    assert (result.returncode, result.stdout) == (1, "")
    assert "no model 'hues' is served; available: shades" in result.stderr


def test_classify_rejects_an_unknown_version(two: Path, shades: Path) -> None:
    asked = ["--model", "shades", "--model-version", "7"]
    result = convserve("classify", "--models", shades, *asked, two / "one.png")
    assert (result.returncode, result.stdout) == (1, "")
    assert "shades has no version '7'" in result.stderr


def test_classify_reports_an_unreachable_server(two: Path) -> None:
    with socket.socket() as unheard:  # bound but not listening, so that no other process listens there
        unheard.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        result = convserve("classify", "--url", url, two / "one.png")
    assert result.returncode == 1
    assert f"cannot reach {url}: " in result.stderr


@pytest.mark.parametrize(
    ("code", "arguments", "word"),
    [
        (2, ["--url", "localhost:8000"], "the URL must look like http://127.0.0.1:8000"),
        (2, ["--models", "nowhere"], "nowhere"),
        (2, [], "--no-such-flag"),
        (2, ["--top-k", "0"], "--top-k"),
    ],
)
def test_classify_rejects_invalid_arguments(two: Path, code: int, arguments: list[str], word: str) -> None:
    wrong = arguments or [word]
    result = convserve("classify", *wrong, two / "one.png")
    assert (result.returncode, result.stdout) == (code, "")
    assert word in result.stderr.splitlines()[-1]


def test_classify_needs_a_model(two: Path) -> None:
    result = convserve("classify", "--models", two, two / "one.png")
    assert (result.returncode, result.stdout) == (3, "")
    assert "nothing to serve" in result.stderr


def test_check_lists_the_models(shades: Path) -> None:
    result = convserve("check", "--models", shades, "--log-level", "warning")
    assert (result.returncode, result.stderr) == (0, "")
    assert "shades version 1 (default): accuracy 100.00% on uniform grays" in result.stdout


def test_check_fails_if_a_version_is_broken(tmp_path: Path) -> None:
    publish_shades(tmp_path)
    change_the_graph(publish_shades(tmp_path))
    result = convserve("check", "--models", tmp_path)
    assert result.returncode == 1
    assert "shades version 1 (default): accuracy" in result.stdout
    assert "shades version 2: NOT SERVED: model.onnx is not the file that was published" in result.stdout


def test_version_is_printed() -> None:
    assert convserve("--version").stdout == f"convserve {__version__}\n"


def test_missing_command_is_a_usage_error() -> None:
    assert convserve().returncode == 2


def test_text_of_a_model_cannot_command_the_terminal(two: Path, tmp_path: Path) -> None:
    version = publish_shades(tmp_path / "models")
    labels = [f"\x1b[2J\x1b]0;shade {index}\x07\nok" for index in range(CLASSES)]
    edit_manifest(version, labels=labels, evaluation=None)
    broken = publish_shades(tmp_path / "models")
    edit_manifest(broken, **{"\x1b[2J": 1})
    models = ["--log-level", "error", "--models", str(tmp_path / "models")]
    result = convserve("classify", *models, "--model", "shades", two / "one.png")
    assert (result.returncode, result.stdout.count("\n")) == (0, 1)
    assert r"\x1b[2J\x1b]0;shade 1\x07\nok" in result.stdout
    for output in (result, convserve("check", *models)):
        assert "\x1b" not in output.stdout + output.stderr
        assert r"version 2 is not served: manifest.json is not valid: \x1b[2J" in output.stderr
