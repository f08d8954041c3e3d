"""Imports of the export package, each in a new interpreter."""

from __future__ import annotations

import ast
import json
import subprocess
import sys

import pytest

from tests.unit.export.conftest import ROOT, clean_environment

HEAVY = {"tensorflow", "keras", "tf2onnx"}


def imported_by(code: str) -> set[str]:
    """Return the top-level modules in `sys.modules` after running this code."""
    report = "import sys, json; print(json.dumps([name for name in sys.modules if '.' not in name]))"
    completed = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(completed.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "module",
    ["repository.publish", "repository.manifest", "cli.main", "pipelines.recipes", "pipelines.pipeline"],
)
def test_import_does_not_load_tensorflow(module: str) -> None:
    assert not imported_by(f"import export.{module}") & HEAVY


def test_publish_imports_numpy_only() -> None:
    assert not imported_by("import export.repository.publish") & {"onnx", "onnxruntime", "PIL", "matplotlib"}


def test_help_does_not_load_heavy_libraries() -> None:
    code = "from export.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    assert not imported_by(code) & (HEAVY | {"onnx", "onnxruntime", "matplotlib"})


def test_imports_are_relative_and_independent_of_the_service() -> None:
    """The package is `export` in a clone and `convserve.export` in the wheel."""
    for path in (ROOT / "export").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            tops = {name.partition(".")[0] for name in names}
            assert not tops & {"export", "convserve", "service", "fastapi"}, path
