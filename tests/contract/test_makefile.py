"""`make` rejects an unusable interpreter and removes an incomplete environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)


def interpreter(folder: Path, body: str) -> str:
    """Write a script that replaces a Python interpreter; return the argument that selects it."""
    script = folder / "python3.x"
    script.write_text(f"#!/bin/sh\n{body}")
    script.chmod(0o755)
    return f"PYTHON={script}"


@pytest.mark.parametrize("verb", ["serve", "export", "lint", "test", "newest", "audit"])
def test_older_python_is_rejected_before_the_environment_is_created(tmp_path: Path, verb: str) -> None:
    older = interpreter(tmp_path, 'case $1 in --version) echo "Python 3.10.13";; *) exit 1;; esac\n')
    folders = [tmp_path / name for name in ("venv", "audit", "newest")]
    result = make(verb, older, *(f"{folder.name.upper()}={folder}" for folder in folders))
    assert result.returncode != 0
    assert f"Python 3.11 or newer is needed, and {tmp_path}/python3.x is Python 3.10.13" in result.stderr
    assert [folder for folder in folders if folder.exists()] == []


def test_missing_python_is_reported(tmp_path: Path) -> None:
    result = make("serve", "PYTHON=python3.99", f"VENV={tmp_path}/venv")
    assert "python3.99 cannot be run" in result.stderr
    assert not (tmp_path / "venv").exists()


def test_incomplete_environment_is_removed(tmp_path: Path) -> None:
    failing = interpreter(
        tmp_path,
        f'[ "$1" = -m ] || exec {sys.executable} "$@"\nmkdir -p $3/bin; touch $3/bin/python; exit 1\n',
    )
    result = make("serve", failing, f"VENV={tmp_path}/venv")
    assert result.returncode != 0
    assert not (tmp_path / "venv").exists()


def test_serve_installs_the_commands(tmp_path: Path) -> None:
    """This is a dry run, because installing needs a package index."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    shown = make("serve", "--dry-run", f"VENV={tmp_path}").stdout
    assert "--editable ." in shown
    assert "python -m service serve" in shown
