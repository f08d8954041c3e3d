"""What is generated or counted in the documents is so."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_settings_page_is_fresh() -> None:
    generator = runpy.run_path(str(ROOT / "scripts" / "generate_settings.py"))
    assert (ROOT / "docs" / "settings.md").read_text() == generator["settings_page"]()


def test_the_protobuf_messages_are_fresh() -> None:
    generator = runpy.run_path(str(ROOT / "scripts" / "generate_protobuf.py"))
    for name, text in generator["generated"]().items():
        assert (ROOT / "service" / "protocols" / "grpc" / name).read_text() == text


def test_the_changelog_begins_with_the_version() -> None:
    from service import __version__

    newest = re.search(r"^## \[?([^\] ]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] in (__version__, "Unreleased")


def test_relative_links_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "models" / "README.md"]
    for page in pages:
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
