from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.asgi.app import create_app
from service.config.settings import Settings
from service.errors import ConfigurationError

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
MAX_PAGE_BYTES = 150_000
STATIC = Path(__file__).parents[4] / "service" / "ui" / "static"


def references(page: str) -> list[str]:
    return re.findall(r'(?:href|src)="([^"]+)"', page)


@pytest.mark.parametrize("path", ["/docs", "/ui"])
def test_page_consists_of_files_of_this_server(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", response.text)
    names = [name for name in references(response.text) if not re.fullmatch(r"docs|#.*", name)]
    assert names
    for name in names:
        assert re.fullmatch(r"(ui/[0-9a-f]{16}|docs)/[\w.-]+", name), name
        file = client.get(f"/{name}")
        assert file.status_code == 200, name
        again = client.get(f"/{name}", headers={"If-None-Match": file.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["cache-control"] == file.headers["cache-control"]


def test_paths_of_files_change_with_their_content(client: TestClient) -> None:
    [name, *_] = references(client.get("/ui").text)
    assert "immutable" in client.get(f"/{name}").headers["cache-control"]
    other = client.get(f"/ui/0123456789abcdef/{name.rpartition('/')[2]}")
    assert (other.status_code, other.headers["cache-control"]) == (200, "no-cache")


def test_page_is_small() -> None:
    assert sum(path.stat().st_size for path in STATIC.iterdir()) <= MAX_PAGE_BYTES


@pytest.mark.parametrize(
    "path", ["/docs/none", "/docs/%2e%2e", "/ui/0/index.html", "/ui/0/none", "/ui/0/__init__.py"]
)
def test_other_files_are_not_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_root_directs_browsers_to_the_page(client: TestClient) -> None:
    for _ in range(2):
        html = client.get("/", headers=BROWSER, follow_redirects=False)
        assert (html.status_code, html.headers["location"], html.headers["vary"]) == (307, "ui", "Accept")
        json = client.get("/")
        assert json.json()["status"] == "alive"
        assert json.headers["vary"] == "Accept"


def test_page_can_be_turned_off(repository: Path) -> None:
    with TestClient(create_app(Settings(models=repository, ui=False))) as client:
        assert client.get("/ui").status_code == 404
        assert client.get("/", headers=BROWSER).json()["status"] == "alive"
        assert client.get("/docs").status_code == 200


def test_configured_prefix(repository: Path) -> None:
    with TestClient(create_app(Settings(models=repository, root_path="/eu/"))) as client:
        for path in ("/", "/eu", "/eu/"):  # removed by the proxy, or kept
            html = client.get(path, headers=BROWSER, follow_redirects=False)
            assert html.headers["location"] == "/eu/ui"
            links = client.get(path).json()["links"]
            assert set(links.values()) >= {"/eu/classify", "/eu/docs"}
        assert client.get("/openapi.json").json()["servers"] == [{"url": "/eu"}]
        assert client.get("/eu/livez").status_code == client.get("/livez").status_code == 200
        assert client.post("/eu/livez").status_code == 405
        assert client.get("/europe/livez").status_code == 404


def test_prefix_of_a_trusted_proxy(repository: Path) -> None:
    settings = Settings(models=repository, trusted_proxies="192.0.2.0/24")
    header = {"X-Forwarded-Prefix": "/eu/"}
    with TestClient(create_app(settings), client=("192.0.2.7", 1)) as client:
        assert client.get("/", headers=header).json()["links"]["docs"] == "/eu/docs"
        assert client.get("/openapi.json", headers=header).json()["servers"] == [{"url": "/eu"}]
        assert "servers" not in client.get("/openapi.json").json()
        for bad in ("//example.org", "eu", "/e u", "/<b>", "/..", "/a" * 129, ""):
            assert client.get("/", headers={"X-Forwarded-Prefix": bad}).json()["links"]["docs"] == "/docs"
    with TestClient(create_app(settings), client=("198.51.100.1", 1)) as client:
        assert client.get("/", headers=header).json()["links"]["docs"] == "/docs"


@pytest.mark.parametrize("path", ["/models", "/v2", "/v2/models", "/ui"])
def test_prefix_must_not_be_a_path_of_the_server(repository: Path, path: str) -> None:
    with pytest.raises(ConfigurationError, match="is the beginning of the server's own"):
        create_app(Settings(models=repository, root_path=path))


@pytest.mark.parametrize("path", ["eu", "//eu", '/e"u', "/eu/../x", "/eu?x"])
def test_prefix_must_be_a_path(path: str) -> None:
    with pytest.raises(ValueError, match="expected a path such as"):
        Settings(root_path=path)
