"""The release script rejects an incomplete release and tags a complete one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scripts.release import main, problems

CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-01-02\n\n### Added\n\n- Something.\n"


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that is ready for the release of 1.2.3."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Test")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "test@example.org")
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "__init__.py").write_text('__version__ = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    contract = tmp_path / "tests" / "contract"
    contract.mkdir(parents=True)
    (contract / "test_agreement.py").write_text("def test_agreement() -> None:\n    pass\n")
    (tmp_path / ".gitignore").write_text("__pycache__/\n.pytest_cache/\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "Begin")
    return tmp_path


def commit(tree: Path) -> None:
    git(tree, "commit", "--quiet", "--all", "--message", "Change")


def test_complete_release_is_tagged(tree: Path) -> None:
    assert main(["1.2.3"], tree) == 0
    assert git(tree, "tag", "--list").split() == ["v1.2.3"]


def test_existing_tag_is_a_problem(tree: Path) -> None:
    git(tree, "tag", "v1.2.3")
    assert list(problems("1.2.3", tree)) == ["the tag v1.2.3 exists"]


@pytest.mark.parametrize("version", ["", "1.2", "v1.2.3", "1.2.3rc1"])
def test_version_must_have_three_numbers(tree: Path, version: str) -> None:
    (problem,) = problems(version, tree)
    assert problem.startswith("the version is x.y.z")


def test_version_must_match_code_and_changelog(tree: Path) -> None:
    found = list(problems("1.3.0", tree))
    assert found == [
        "service/__init__.py has the version 1.2.3, not 1.3.0",
        "CHANGELOG.md has no section '## [1.3.0] - YYYY-MM-DD'",
    ]


def test_unreleased_entries_are_a_problem(tree: Path) -> None:
    changelog = CHANGELOG.replace("[Unreleased]\n", "[Unreleased]\n\n- More.\n")
    (tree / "CHANGELOG.md").write_text(changelog)
    commit(tree)
    (problem,) = problems("1.2.3", tree)
    assert "Unreleased" in problem


def test_section_without_a_date_is_a_problem(tree: Path) -> None:
    (tree / "CHANGELOG.md").write_text(CHANGELOG.replace(" - 2026-01-02", ""))
    commit(tree)
    (problem,) = problems("1.2.3", tree)
    assert "YYYY-MM-DD" in problem


def test_untracked_file_prevents_the_release(tree: Path) -> None:
    (tree / "new.txt").write_text("new")
    assert main(["1.2.3"], tree) == 1
    assert git(tree, "tag", "--list") == ""


def test_failing_contract_test_prevents_the_release(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "tests" / "contract" / "test_agreement.py").write_text(
        "def test_it() -> None:\n    assert False\n"
    )
    commit(tree)
    assert main(["1.2.3"], tree) == 1
    assert "tests/contract fails" in capsys.readouterr().err
    assert git(tree, "tag", "--list") == ""
