"""The page while the server is away, with API keys, and under a path prefix."""

from __future__ import annotations

import re
import signal

import pytest
from playwright.sync_api import expect

from tests.support.browser.pages import LOOKS, Look, OpenPage, draw, expect_label, overflow, screenshot
from tests.support.server.server_process import ServerProcess

KEY, NARROW = "key-of-a-visitor-12345", "key-without-metrics-12"
KEYS = {"CONVSERVE_API_KEYS": f"visitor infer,metrics {KEY}; narrow infer {NARROW}"}
ONE = [[(0.5, 0.15), (0.5, 0.85)]]
UNAUTHORIZED = ("status of 401", "status of 403")


def test_server_goes_away_and_comes_back(open_page: OpenPage) -> None:
    with ServerProcess(None) as first:
        port = first.address[1]
        page = open_page(f"{first.url}/ui", allowed=("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET"))
        draw(page, ONE)
        expect_label(page, "1")
        first.send(signal.SIGKILL, to_group=True)
        first.wait()
        page.get_by_role("button", name="Draw a 3").click()
        expect(page.locator("#banner")).to_have_text(
            "The server does not answer. The page tries again until it does."
        )
        screenshot(page, "down", LOOKS[0])
    with ServerProcess(None, "--port", str(port)):
        expect(page.locator("#banner")).to_have_text("The server answers again.", timeout=20_000)
        expect(page.locator("#banner")).to_be_hidden()
        page.get_by_role("button", name="Draw a 3").click()
        expect_label(page, "3")


def test_page_asks_for_a_key_and_forgets_it(open_page: OpenPage, look: Look) -> None:
    with ServerProcess(None, own=KEYS) as server:
        page = open_page(f"{server.url}/ui", look, allowed=UNAUTHORIZED)
        dialog = page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        screenshot(page, "key", look)
        field = dialog.get_by_label("API key", exact=True)
        field.fill("wrong")
        field.press("Enter")
        expect(dialog).to_contain_text("The API key is unknown.")
        field.fill(KEY)
        field.press("Enter")
        expect(dialog).to_be_hidden()
        page.get_by_role("button", name="Draw a 3").click()
        expect_label(page, "3")
        expect(page.locator("pre")).to_contain_text('-H "Authorization: Bearer $CONVSERVE_API_KEY"')
        expect(page.get_by_role("link", name="Server")).to_be_visible()
        assert KEY not in page.content()
        assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
        page.reload()
        expect(dialog).to_be_visible()
        field.fill(NARROW)
        field.press("Enter")
        expect(page.get_by_role("link", name="Server")).to_be_hidden()
        expect(dialog).to_be_hidden()


def test_figures_are_hidden_on_a_port_that_does_not_serve_them(open_page: OpenPage) -> None:
    with ServerProcess(None, "--admin-port", "-1") as server:
        page = open_page(f"{server.url}/ui", allowed=("status of 404",))
        expect(page.get_by_role("link", name="Server")).to_be_hidden()


@pytest.mark.parametrize("path", ["/eu/ui", "/eu/", "/eu"])
def test_page_under_a_prefix(open_page: OpenPage, path: str) -> None:
    with ServerProcess(None, "--root-path", "/eu") as server:
        page = open_page("about:blank", ready=False)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url.removeprefix(server.url)))
        page.goto(server.url + path)
        page.get_by_role("button", name="Draw a 3").click()
        expect_label(page, "3")
        page.get_by_role("link", name="API").click()
        page.wait_for_selector(".opblock")
        hosted = [url for url in asked if not url.startswith(("data:", "blob:", "about:"))]
        assert hosted
        assert [url for url in hosted if not re.match(r"/eu(/|$)", url)] == []


def test_description_of_the_api(server: ServerProcess, open_page: OpenPage, look: Look) -> None:
    page = open_page("about:blank", look, ready=False)
    foreign: list[str] = []
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith((server.url, "data:")) else foreign.append(request.url)
        ),
    )
    page.goto(f"{server.url}/docs")
    page.locator(".opblock-summary", has_text="/readyz").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".responses-table").first).to_contain_text("ready")
    assert foreign == []
    assert overflow(page) <= 0
    screenshot(page, "docs", look)


def test_description_of_the_api_with_keys(open_page: OpenPage) -> None:
    with ServerProcess(None, own=KEYS) as server:
        page = open_page(f"{server.url}/docs", ready=False, allowed=UNAUTHORIZED)
        field = page.get_by_label("This server asks for an API key")
        field.fill(KEY)
        field.press("Enter")
        page.locator(".opblock-summary", has_text="The served models, and those that failed").click()
        page.get_by_role("button", name="Try it out").click()
        page.get_by_role("button", name="Execute").click()
        expect(page.locator(".responses-table").first).to_contain_text("convnet")
