"""Checks that a release is complete and tags it: `make release VERSION=x.y.z`."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def problems(version: str, root: Path) -> Iterator[str]:
    """Yield the problems that prevent a release, one sentence each."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        yield f"the version is x.y.z, not {version!r}; call make release VERSION=x.y.z"
        return
    found = re.search(r'^__version__ = "(.*)"$', (root / "service" / "__init__.py").read_text(), re.MULTILINE)
    if found is None or found[1] != version:
        yield f"service/__init__.py has the version {found and found[1]}, not {version}"
    changelog = (root / "CHANGELOG.md").read_text()
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        yield f"CHANGELOG.md has no section '## [{version}] - YYYY-MM-DD'"
    unreleased = re.search(r"^## \[Unreleased\]\s*\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if unreleased is not None and unreleased[1].strip():
        yield f"CHANGELOG.md has entries under Unreleased; move them to {version}"
    if changed := _git(root, "status", "--porcelain"):
        yield f"the working tree is not clean: {', '.join(changed.splitlines())}"
    if _git(root, "tag", "--list", f"v{version}"):
        yield f"the tag v{version} exists"


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, check=True
    ).stdout.strip()


def _passes_contract_tests(root: Path) -> bool:
    """Return True if tests/contract passes: documentation, images and wheel match the code."""
    command = [sys.executable, "-m", "pytest", "--quiet", "tests/contract"]
    return subprocess.run(command, cwd=root).returncode == 0


def main(argv: Sequence[str], root: Path = ROOT) -> int:
    """Return 0 if the tag was created, otherwise 1."""
    version = argv[0] if argv else ""
    found = list(problems(version, root))
    for problem in found:
        print(f"release: {problem}", file=sys.stderr)
    if found:
        return 1
    if not _passes_contract_tests(root):
        print("release: tests/contract fails; make docs writes the generated pages", file=sys.stderr)
        return 1
    _git(root, "tag", "--annotate", f"v{version}", "--message", f"convserve {version}")
    print(f"created the tag v{version}; git push origin v{version} publishes it")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
