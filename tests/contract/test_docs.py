"""The documentation matches the code: generated pages, names, messages and links."""

from __future__ import annotations

import ast
import json
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from service.asgi.app import create_app
from service.config.settings import Settings
from service.telemetry.log_fields import LOG_FIELDS, Lines
from tests.support.http.client import send_request
from tests.support.models.gray_classifier import image, level
from tests.support.server.server_process import ServerProcess

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
PAGES = [*ROOT.glob("*.md"), *sorted(DOCS.rglob("*.md")), ROOT / "models" / "README.md"]
GENERATED = ("settings", "cli", "metrics", "log_fields", "exit_codes")
# The only page that names metrics of older versions.
UPGRADE = DOCS / "how-to" / "upgrade.md"
# Variables that are not settings of the server.
OTHER_VARIABLES = {"API_KEY", "DATA", "TEST_DATA", "FAULTS", "FUZZ", ""}
# Messages of other programs on the troubleshooting page.
FOREIGN_MESSAGES = ("Connection reset by peer", "StatusCode.UNAVAILABLE: failed to connect to all addresses")


def test_site_builds_without_warnings_or_external_resources(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    result = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        assert not re.search(r'<(?:script|img|link|source)[^>]+(?:src|href)="?https?:', page.read_text()), (
            page
        )


@pytest.mark.parametrize("name", GENERATED)
def test_generated_pages_are_fresh(name: str) -> None:
    generator = runpy.run_path(str(ROOT / "scripts" / f"generate_{name}.py"))
    assert generator["TARGET"].read_text() == generator["page"](), "run `make docs`"


def test_protobuf_messages_are_fresh() -> None:
    generator = runpy.run_path(str(ROOT / "scripts" / "generate_protobuf.py"))
    for name, text in generator["generated"]().items():
        assert (ROOT / "service" / "protocols" / "grpc" / name).read_text() == text


def test_changelog_starts_with_the_version() -> None:
    from service import __version__

    newest = re.search(r"^## \[?([^\] ]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] in (__version__, "Unreleased")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_exist(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_paths_exist(page: Path) -> None:
    for path in re.findall(r"`((?:service|export|tests|benchmarks|scripts)/[\w/]+\.\w+)`", page.read_text()):
        assert (ROOT / path).exists(), f"{page.name} names {path}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_variables_are_settings(page: Path) -> None:
    known = {name.upper() for name in Settings.model_fields} | OTHER_VARIABLES
    if page.name != "CHANGELOG.md":
        assert set(re.findall(r"\bCONVSERVE_([A-Z_]*)", page.read_text())) <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_metrics_exist(page: Path) -> None:
    declared = set(re.findall(r"convserve_[a-z_]+", (DOCS / "reference" / "metrics.md").read_text()))
    if page != UPGRADE and page.name != "CHANGELOG.md":
        assert set(re.findall(r"`(convserve_[a-z_]+)", page.read_text())) <= declared


def test_api_paths_are_documented() -> None:
    page = (DOCS / "reference" / "http-api.md").read_text()
    documented = set(re.findall(r"(/[\w/{}.:]*)", page))
    paths = {re.sub(r"/versions/\{version\}|/labels/\{label\}", "", path) for path in _api_paths()}
    assert paths - documented == set()


def _api_paths() -> Iterator[str]:
    schema = create_app(Settings()).openapi()
    yield from schema["paths"]


def test_troubleshooting_messages_are_in_the_code() -> None:
    page = (DOCS / "troubleshooting.md").read_text()
    messages = re.findall(r"`([^`]+)`", "\n".join(re.findall(r"^### (.*)$", page, re.MULTILINE)))
    assert len(messages) > 40
    missing = [
        message
        for message in messages
        if message not in FOREIGN_MESSAGES and not all(map(_is_in_the_code, message.split("…")))
    ]
    assert missing == []


def _is_in_the_code(fragment: str) -> bool:
    return any(fragment.strip() in text for text in _texts())


@cache
def _texts() -> frozenset[str]:
    """Return all string constants of service and export; adjacent literals are joined."""
    sources = [path for folder in ("service", "export") for path in (ROOT / folder).rglob("*.py")]
    nodes = (node for path in sources for node in ast.walk(ast.parse(path.read_text())))
    return frozenset(
        node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def test_log_lines_have_the_documented_fields(shades: Path) -> None:
    own = {
        "CONVSERVE_API_KEYS": "client infer a-key-of-the-documentation",
        "CONVSERVE_ACCESS_LOG": "true",
        "CONVSERVE_LOG_FORMAT": "json",
    }
    headers = {"Content-Type": "image/png", "X-API-Key": "a-key-of-the-documentation"}
    with ServerProcess(shades, own=own) as server:
        send_request("POST", f"{server.url}/models/shades/classify", image(level(7)), headers)
        server.stderr.wait_for(r'"status": ?200')
        (line,) = server.stderr.text.splitlines()
    documented = {field.name for field in LOG_FIELDS if field.lines not in (Lines.EXCEPTION, Lines.STREAM)}
    assert set(json.loads(line)) == documented
