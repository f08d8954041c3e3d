"""The page of limits has each setting with its default, each constant with its value, and existing tests."""

from __future__ import annotations

import ast
import re
from functools import cache
from itertools import chain
from pathlib import Path

import pytest

from service.config.settings import PREFIX, Group, Settings, settings_by_group

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "reference" / "limits.md"
LIMIT_GROUPS = (Group.ADMISSION, Group.REQUESTS, Group.IMAGES, Group.CONNECTIONS, Group.SHUTDOWN)
# Limits among the settings of models and workers.
OTHER_LIMITS = ("explain_bytes", "max_model_bytes", "worker_timeout_s", "engine_timeout_s")
# Their text is on the page, because they are no numbers.
WITHOUT_A_NUMBER = {"trusted_proxies"}
UNITS = {"KiB": 1024, "MiB": 1024 * 1024, "s": 1, "ms": 1, "B/s": 1, "": 1}
NUMBER = re.compile(r"([\d,]+(?:\.\d+)?)(?: (\S+))?")
TEST_OR_CONSTANT = re.compile(r"`([\w/]+\.py)::(\w+)`")


def rows(*, fixed: bool) -> list[list[str]]:
    """The cells of each row of the tables of settings, or of the table of fixed limits."""
    settings, _, constants = PAGE.read_text().partition("\n## Fixed\n")
    lines = (constants if fixed else settings).splitlines()
    table = [
        line for line in lines if line.startswith("| ") and not line.startswith(("| limit |", "| --- |"))
    ]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def number(cell: str) -> float:
    match = NUMBER.fullmatch(cell)
    assert match, f"{cell!r} is not a number with a unit"
    return float(match[1].replace(",", "")) * UNITS[match[2] or ""]


@cache
def definitions(path: str) -> dict[str, ast.AST]:
    """The functions and assigned names of a module."""
    found: dict[str, ast.AST] = {}
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node.value
    return found


def test_every_setting_of_a_limit_has_a_row_with_its_default() -> None:
    documented = {row[1]: number(row[2]) for row in rows(fixed=False)}
    defaults = {
        f"`{name.upper()}`": float(Settings.model_fields[name].default)
        for name in (*OTHER_LIMITS, *chain(*(settings_by_group()[group] for group in LIMIT_GROUPS)))
        if name not in WITHOUT_A_NUMBER
    }
    assert documented == defaults, f"write a row for each limit in {PAGE.relative_to(ROOT)}"


@pytest.mark.parametrize("name", sorted(WITHOUT_A_NUMBER))
def test_setting_without_a_number_is_described(name: str) -> None:
    assert f"`{name.upper()}`" in PAGE.read_text()
    assert f"{PREFIX}{name.upper()}" not in PAGE.read_text()


@pytest.mark.parametrize("row", rows(fixed=True), ids=lambda row: row[0])
def test_fixed_limit_has_the_value_of_its_constant(row: list[str]) -> None:
    match = TEST_OR_CONSTANT.fullmatch(row[1])
    assert match
    expression = ast.Expression(definitions(match[1])[match[2]])  # type: ignore[arg-type]
    assert number(row[2]) == eval(compile(expression, match[1], "eval"), {"__builtins__": {}})


@pytest.mark.parametrize("row", [*rows(fixed=False), *rows(fixed=True)], ids=lambda row: row[0])
def test_named_test_exists(row: list[str]) -> None:
    match = TEST_OR_CONSTANT.fullmatch(row[-1])
    assert match, "a limit has a test that holds it"
    assert match[2] in definitions(match[1])
