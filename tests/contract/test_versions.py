"""Code, changelog, images and README have the same version."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service import __version__

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docker").rglob("*.yaml"))]
# convserve 1.2.3, convserve:1.2.3, convserve-1.2.3-py3-none-any.whl, newTag: 1.2.3
MENTION = re.compile(r"(?:\bconvserve[ :=-]=?v?|\bnewTag: )(\d+\.\d+\.\d+)")


def mentions(page: Path) -> set[str]:
    return set(MENTION.findall(page.read_text()))


def test_newest_dated_section_of_the_changelog_is_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    sections = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)$", changelog, re.MULTILINE)
    assert sections[0][0] == __version__
    assert [date for _, date in sections] == sorted((date for _, date in sections), reverse=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_names_no_other_version(page: Path) -> None:
    assert mentions(page) <= {__version__}


@pytest.mark.parametrize("page", ["base/kustomization.yaml", "kserve/servingruntime.yaml"])
def test_kubernetes_uses_the_image_of_this_version(page: str) -> None:
    assert mentions(ROOT / "docker" / "kubernetes" / page) == {__version__}
