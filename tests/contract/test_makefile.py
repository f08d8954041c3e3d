"""`make` rejects an unusable interpreter and leaves no half-made environment."""

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
    """A stand-in for a Python that this machine need not have."""
    script = folder / "python3.x"
    script.write_text(f"#!/bin/sh\n{body}")
    script.chmod(0o755)
    return f"PYTHON={script}"


@pytest.mark.parametrize("verb", ["serve", "export", "lint", "test", "newest", "audit"])
def test_an_older_python_is_rejected_before_an_environment_is_made(tmp_path: Path, verb: str) -> None:
    older = interpreter(tmp_path, 'case $1 in --version) echo "Python 3.10.13";; *) exit 1;; esac\n')
    folders = [tmp_path / name for name in ("venv", "audit", "newest")]
    result = make(verb, older, *(f"{folder.name.upper()}={folder}" for folder in folders))
    assert result.returncode != 0
    assert f"Python 3.11 or newer is needed, and {tmp_path}/python3.x is Python 3.10.13" in result.stderr
    assert [folder for folder in folders if folder.exists()] == []


def test_a_missing_python_is_reported(tmp_path: Path) -> None:
    result = make("serve", "PYTHON=python3.99", f"VENV={tmp_path}/venv")
    assert "python3.99 cannot be run" in result.stderr
    assert not (tmp_path / "venv").exists()


def test_an_environment_that_cannot_be_completed_is_removed(tmp_path: Path) -> None:
    failing = interpreter(
        tmp_path,
        f'[ "$1" = -m ] || exec {sys.executable} "$@"\nmkdir -p $3/bin; touch $3/bin/python; exit 1\n',
    )
    result = make("serve", failing, f"VENV={tmp_path}/venv")
    assert result.returncode != 0
    assert not (tmp_path / "venv").exists()


def test_serving_installs_the_commands(tmp_path: Path) -> None:
    """The recipe is only shown: installing needs a package index."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    shown = make("serve", "--dry-run", f"VENV={tmp_path}").stdout
    assert "--editable ." in shown
    assert "python -m service serve" in shown
