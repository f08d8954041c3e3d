"""The page without a pointer, without sight of it, and in other circumstances."""

from __future__ import annotations

import re
from pathlib import Path

import axe_playwright_python  # type: ignore[import-untyped]
import pytest
from playwright.sync_api import Page, expect

from tests.support.browser.pages import LOOKS, Look, OpenPage, expect_label, overflow, screenshot
from tests.support.server.server_process import ServerProcess

AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
SERIOUS = {"serious", "critical"}
PLACES = ["classify", "inside", "inside/layers", "inside/kernels", "models", "models/convnet", "server"]


def findings(page: Page) -> list[str]:
    """axe-core's serious findings, each with the first element."""
    # As a script of the page it would be refused by the Content-Security-Policy.
    page.evaluate(AXE.read_text())
    result = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{each['id']}: {each['nodes'][0]['html'][:200]}: {each['nodes'][0]['failureSummary'][:300]}"
        for each in result["violations"]
        if each["impact"] in SERIOUS
    ]


@pytest.mark.parametrize("place", PLACES)
def test_axe_finds_nothing_serious(
    server: ServerProcess, open_page: OpenPage, look: Look, place: str
) -> None:
    page = open_page(f"{server.url}/ui", look)
    page.get_by_role("button", name="Draw a 8").click()
    expect_label(page, "8")
    page.goto(f"{server.url}/ui#/{place}")
    page.wait_for_load_state("networkidle")
    assert findings(page) == []
    assert overflow(page) == 0
    screenshot(page, place.replace("/", "-"), look)


def focus_with_tab(page: Page, selector: str, *, most: int = 40) -> None:
    """Presses Tab until an element has the focus, as a visitor without a pointer does."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{most} presses of Tab do not reach {selector}")


def test_whole_flow_by_keyboard(server: ServerProcess, open_page: OpenPage) -> None:
    page = open_page(f"{server.url}/ui")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    focus_with_tab(page, "canvas.pad")
    for digit in "0123456789":
        page.keyboard.press(digit)
        expect_label(page, digit)
    page.keyboard.press("Delete")
    expect_label(page, "\u2013")
    # A one, drawn cell by cell: up, pen down, down, pen up.
    page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("Space")
    for _ in range(18):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect_label(page, "1")
    expect(page.get_by_text(re.compile("Column 15, row 25, pen up"))).to_be_attached()
    expect(page.get_by_text(re.compile(r"convnet v\d says 1, "))).to_be_attached()
    page.keyboard.press("Backspace")
    expect_label(page, "\u2013")
    page.keyboard.press("4")
    page.keyboard.press("Shift+Tab")  # compare with
    page.keyboard.press("Shift+Tab")  # model
    page.keyboard.type("lenet")
    expect(page.get_by_role("heading", name=re.compile("lenet5 v"))).to_be_visible()
    expect_label(page, "4")
    for _ in range(40):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.textContent") == "Look inside":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Look inside")).to_be_visible()
    focus_with_tab(page, 'button[aria-label="Unit to the right"]')
    page.keyboard.press("Enter")
    expect(page.get_by_text("Row 1 of 3, column 2 of 3")).to_be_visible()


@pytest.mark.parametrize("place", PLACES)
def test_page_at_400_percent(server: ServerProcess, open_page: OpenPage, place: str) -> None:
    """A window of 1280 pixels at 400 % is 320 pixels wide (WCAG 1.4.10)."""
    page = open_page(f"{server.url}/ui#/{place}", (320, "light"))
    page.wait_for_load_state("networkidle")
    assert overflow(page) == 0
    screenshot(page, f"zoom-{place.replace('/', '-')}", (320, "light"))


def test_forced_colors(server: ServerProcess, open_page: OpenPage) -> None:
    page = open_page(f"{server.url}/ui", LOOKS[0], forced_colors="active")
    page.get_by_role("button", name="Draw a 2").click()
    expect_label(page, "2")
    # A bar that has no colour of its own would vanish.
    bar = page.locator(".bar").first.evaluate("(bar) => getComputedStyle(bar).backgroundColor")
    track = page.locator(".track").first.evaluate("(bar) => getComputedStyle(bar).backgroundColor")
    assert bar != track
    screenshot(page, "forced", LOOKS[0])


def test_reduced_motion(server: ServerProcess, open_page: OpenPage) -> None:
    page = open_page(f"{server.url}/ui", LOOKS[0], reduced_motion="reduce")
    page.get_by_role("button", name="Draw a 2").click()
    expect_label(page, "2")
    moving = page.evaluate(
        "[...document.querySelectorAll('*')].filter((each) => "
        "getComputedStyle(each).transitionDuration.split(', ').some((time) => time !== '0s')).length"
    )
    assert moving == 0
