"""Looks, console, screenshots, drawing and dropping, for tests of the page in a browser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Page, expect

from tests.conftest import ROOT

SCREENSHOTS = ROOT / "build" / "screenshots"

Look = tuple[int, str]  # width in pixels and colour scheme
LOOKS: Sequence[Look] = [(1440, "light"), (1440, "dark"), (360, "light"), (360, "dark")]
HEIGHT = {1440: 900, 360: 740}

OpenPage = Callable[..., Page]


class Console:
    """The errors and warnings that a page has written to the console."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def add(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)


def screenshot(page: Page, name: str, look: Look) -> Path:
    """Writes a picture of the whole page into `build`, to be looked at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    path = SCREENSHOTS / f"{name}-{look[0]}-{look[1]}.png"
    page.screenshot(path=path, full_page=True)
    return path


def overflow(page: Page) -> int:
    """The pixels by which the page is wider than the window."""
    width: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return width


def draw(page: Page, strokes: Sequence[Sequence[tuple[float, float]]]) -> None:
    """Draws lines with the mouse; points are parts of the drawing area's side."""
    pad = page.locator("canvas.pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    assert box is not None
    for stroke in strokes:
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=3)
        page.mouse.up()


def expect_label(page: Page, label: str) -> None:
    """Waits until the first answer names this label."""
    expect(page.locator(".answer .label").first).to_have_text(label)


def drop(page: Page, files: Sequence[tuple[str, str, bytes]]) -> None:
    """Drops files, each a name, a media type and its bytes, on the page, as a browser does."""
    page.evaluate(
        """async (files) => {
            const transfer = new DataTransfer();
            for (const [name, type, bytes] of files) {
                transfer.items.add(new File([Uint8Array.from(bytes)], name, { type }));
            }
            const target = document.querySelector(".frame");
            for (const kind of ["dragenter", "dragover", "drop"]) {
                const options = { dataTransfer: transfer, bubbles: true, cancelable: true };
                target.dispatchEvent(new DragEvent(kind, options));
            }
        }""",
        [[name, kind, list(content)] for name, kind, content in files],
    )
