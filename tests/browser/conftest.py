"""A real headless browser, a server of the shipped models, and pages that fail on errors in the console."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.support.browser.pages import HEIGHT, LOOKS, Console, Look, OpenPage
from tests.support.server.server_process import ServerProcess


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        # The tests may run as root in a container, in which Chromium's sandbox cannot be set up.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """A server of the models that come with the project."""
    with ServerProcess(None) as server:
        yield server


@pytest.fixture(params=LOOKS, ids=lambda look: f"{look[0]}-{look[1]}")
def look(request: pytest.FixtureRequest) -> Look:
    width, scheme = request.param
    return width, scheme


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens a page of a server; at the end of the test there must be no error in the console.

    Args of the function: the URL, the look, `allowed` texts of errors in the console, and options of the
    browser's context.
    """
    contexts: list[tuple[BrowserContext, Console, tuple[str, ...]]] = []

    def open_(
        url: str, look: Look = LOOKS[0], *, allowed: tuple[str, ...] = (), ready: bool = True, **options: Any
    ) -> Page:
        width, scheme = look
        size = {"width": width, "height": HEIGHT.get(width, 800)}
        context = browser.new_context(**{"viewport": size, "color_scheme": scheme, **options})
        console = Console()
        contexts.append((context, console, allowed))
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", console.add)
        page.on("pageerror", lambda error: console.errors.append(str(error)))
        page.goto(url)
        if ready:
            page.wait_for_selector("html[data-ready]")
        return page

    yield open_
    errors = []
    for context, console, allowed in contexts:
        context.close()
        errors += [text for text in console.errors if not any(each in text for each in allowed)]
    assert errors == []
