"""The wheel contains the packages and the shipped models, and its commands work outside of a clone."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

import pytest

from service import __version__
from tests.support.http.client import get, post
from tests.support.models.gray_classifier import LABELS, image, level, publish_shades
from tests.support.server.server_process import ROOT, ServerProcess, environment

NOT_SOURCES = (".*", "build", "dist", "*.egg-info", "__pycache__")
SHIPPED = sorted(path.relative_to(ROOT / "models") for path in (ROOT / "models").glob("*/*/manifest.json"))

with_shipped_models = pytest.mark.skipif(not SHIPPED, reason="no model has been published in models/")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of this tree with one more model, and with files that git ignores."""
    tree, wheels = tmp_path_factory.mktemp("tree") / "clone", tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*NOT_SOURCES))
    publish_shades(tree / "models")
    (tree / "models" / "shades" / "1" / "mistakes.png").write_bytes(b"images of a data set")
    publish_shades(tree / "models" / ".incoming-0123")
    flags = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    pip("wheel", *flags, "--wheel-dir", str(wheels), str(tree))
    (path,) = wheels.iterdir()
    return path


@pytest.fixture(scope="module")
def members(wheel: Path) -> list[str]:
    with ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's packages, and its commands in bin/."""
    folder = tmp_path_factory.mktemp("installed")
    pip("install", "--no-deps", "--no-index", "--quiet", "--target", str(folder), str(wheel))
    return folder


@pytest.fixture
def command(installed: Path) -> list[str]:
    return [sys.executable, str(installed / "bin" / "convserve")]


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", *arguments]
    result = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr


def run(command: Sequence[str], installed: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    own = environment({"PYTHONPATH": str(installed)})
    return subprocess.run(command, cwd=cwd, env=own, capture_output=True, text=True, timeout=60)


def test_wheel_name_has_the_version(wheel: Path) -> None:
    assert wheel.name == f"convserve-{__version__}-py3-none-any.whl"


def test_wheel_installs_one_top_level_package(members: list[str]) -> None:
    assert {name.partition("/")[0] for name in members} == {
        "convserve",
        f"convserve-{__version__}.dist-info",
    }
    parts = {name.split("/")[1] for name in members if name.startswith("convserve/")}
    assert parts == {"service", "export", "models"}


@pytest.mark.parametrize("package", ["service", "export"])
def test_wheel_contains_every_module(members: list[str], package: str) -> None:
    modules = {f"convserve/{path.relative_to(ROOT)}" for path in (ROOT / package).rglob("*.py")}
    assert {
        name for name in members if name.startswith(f"convserve/{package}/") and name.endswith(".py")
    } == (modules)


def test_wheel_contains_the_shipped_models_and_the_licence(members: list[str]) -> None:
    for manifest in SHIPPED:
        for name in ("manifest.json", "model.onnx", "golden.npz"):
            assert f"convserve/models/{manifest.parent / name}" in members
    assert any(name.endswith("licenses/LICENSE") for name in members)


def test_wheel_contains_no_ignored_files(members: list[str]) -> None:
    assert [name for name in members if "mistakes.png" in name or ".incoming" in name] == []


def test_check_finds_the_models_of_the_wheel(command: list[str], installed: Path, tmp_path: Path) -> None:
    result = run([*command, "check"], installed, tmp_path)
    assert result.returncode == 0, result.stderr
    assert re.search(r"shades version 1( \(default\))?: accuracy 100.00%", result.stdout)
    for manifest in SHIPPED:
        name, version, _ = manifest.parts
        assert re.search(rf"^  {name} version {version}( \(default\))?: ", result.stdout, re.MULTILINE)


def test_serve_classifies_outside_of_a_clone(command: list[str], installed: Path, tmp_path: Path) -> None:
    own = {"PYTHONPATH": str(installed)}
    with ServerProcess(None, "--workers", "2", command=command, cwd=tmp_path, own=own) as server:
        response = post(f"{server.url}/models/shades/classify", image(level(7)))
        assert response.json["predictions"][0]["label"] == LABELS[7]


@with_shipped_models
def test_serve_loads_the_shipped_models(command: list[str], installed: Path, tmp_path: Path) -> None:
    own = {"PYTHONPATH": str(installed)}
    with ServerProcess(None, command=command, cwd=tmp_path, own=own) as server:
        served = {(model["name"], model["version"]) for model in get(f"{server.url}/models").json["models"]}
        assert served >= {(manifest.parts[0], manifest.parts[1]) for manifest in SHIPPED}
        examples = sorted((installed / "convserve" / "models").glob("convnet/*/example.png"))
        for example in examples:
            assert post(f"{server.url}/models/convnet/classify", example.read_bytes()).status == 200


def test_wheel_installs_convserve_export(installed: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(installed / "bin" / "convserve-export"), "--help"]
    result = run(command, installed, tmp_path)
    assert result.returncode == 0, result.stderr
    assert "convnet" in result.stdout


def test_public_names_are_importable(installed: Path, tmp_path: Path) -> None:
    code = "from convserve.service import Settings, __version__, create_app; print(__version__)"
    result = run([sys.executable, "-c", code], installed, tmp_path)
    assert (result.returncode, result.stdout) == (0, f"{__version__}\n"), result.stderr
