"""The layout of the packages, and the form of their docstrings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGES = ("service", "export", "benchmarks", "scripts", "tests")
GENERATED = "inference_pb2"
MAX_MODULES = 13
MAX_LINES = 400
# A docstring opens with what the thing is or does, not with one of these words.
VAGUE = re.compile(r"(What|Who|Whoever|How|Whether|Where|Whatever)\b", re.IGNORECASE)


def modules(*packages: str) -> list[Path]:
    paths = (path for package in packages for path in (ROOT / package).rglob("*.py"))
    return sorted(path for path in paths if GENERATED not in path.name)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def folders() -> Iterator[Path]:
    for package in PACKAGES:
        yield ROOT / package
        yield from sorted(path for path in (ROOT / package).rglob("*") if path.is_dir())


@pytest.mark.parametrize("folder", list(folders()), ids=name)
def test_folder_has_about_a_dozen_modules(folder: Path) -> None:
    names = [path.name for path in folder.glob("*.py") if not path.name.startswith(("__", "test_"))]
    assert len([name for name in names if GENERATED not in name]) <= MAX_MODULES


@pytest.mark.parametrize("path", modules("service", "export", "benchmarks", "scripts"), ids=name)
def test_module_has_at_most_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", modules(*PACKAGES), ids=name)
def test_docstrings_open_with_what_the_thing_is_or_does(path: Path) -> None:
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [
        ast.get_docstring(node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, nodes)
    ]
    assert not [text.partition("\n")[0] for text in found if text is not None and VAGUE.match(text)]
