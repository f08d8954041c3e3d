"""Draws, drops, compares and reads answers, in a real browser."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Route, expect

from tests.support.browser.pages import Look, OpenPage, draw, drop, expect_label, overflow, screenshot
from tests.support.models.shipped import highest_version
from tests.support.server.server_process import ServerProcess

SEVEN = [[(0.25, 0.2), (0.75, 0.2), (0.45, 0.85)]]
ONE = [[(0.5, 0.15), (0.5, 0.85)]]
NO_LABEL = "\u2013"
# https://www.w3.org/TR/longtasks/
LONG_TASK_MS = 50
REFUSED = ("status of 400",)


def png(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_drawing_is_classified_while_it_is_drawn(
    server: ServerProcess, open_page: OpenPage, look: Look
) -> None:
    page = open_page(f"{server.url}/ui", look)
    expect_label(page, NO_LABEL)
    screenshot(page, "empty", look)
    draw(page, SEVEN)
    expect_label(page, "7")
    expect(page.locator(".bars li")).to_have_count(10)
    expect(page.locator(".got .muted").first).to_have_text("28 \u00d7 28 pixels, gray")
    expect(page.locator(".legend").first).to_contain_text("Compute")
    expect(page.locator(".history li")).to_have_count(1)
    expect(page.locator("pre")).to_contain_text("/models/convnet/versions/")
    assert overflow(page) == 0
    screenshot(page, "drawn", look)
    page.get_by_role("button", name="Undo").click()
    expect_label(page, NO_LABEL)
    draw(page, ONE)
    expect_label(page, "1")
    page.get_by_role("button", name="Clear").click()
    expect_label(page, NO_LABEL)
    page.locator(".history button").last.click()
    expect_label(page, "7")


def test_input_is_shown_byte_for_byte(server: ServerProcess, open_page: OpenPage) -> None:
    sent = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    page = open_page(f"{server.url}/ui")
    drop(page, [("noise.png", "image/png", png(sent))])
    expect(page.locator(".got .muted").first).to_have_text("28 \u00d7 28 pixels, gray")
    shown = page.evaluate(
        """() => {
            const canvas = document.querySelector(".pixels");
            const { data } = canvas.getContext("2d").getImageData(0, 0, 28, 28);
            return Array.from(data).filter((_, index) => index % 4 === 0);
        }"""
    )
    got = np.array(shown, np.uint8).reshape(28, 28)
    assert np.array_equal(got, sent) or np.array_equal(got, 255 - sent)  # in the polarity of the network


def test_newest_drawing_wins(server: ServerProcess, open_page: OpenPage) -> None:
    """While a request is in flight, later drawings wait, and only the newest of them is sent."""
    page = open_page(f"{server.url}/ui")
    asked: list[Route] = []

    def hold_the_first(route: Route) -> None:
        asked.append(route)
        if len(asked) > 1:
            route.continue_()

    page.route(re.compile("/classify"), hold_the_first)
    for digit in (1, 2, 3, 4):
        page.get_by_role("button", name=f"Draw a {digit}").click()
    page.evaluate("new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))")
    assert len(asked) == 1
    asked[0].continue_()
    expect_label(page, "4")
    assert len(asked) == 2


def test_many_pictures_make_a_grid_in_which_bad_ones_stand_alone(
    server: ServerProcess, open_page: OpenPage, look: Look
) -> None:
    example = (highest_version("convnet") / "example.png").read_bytes()
    sign = (highest_version("signnet") / "example.png").read_bytes()
    page = open_page(f"{server.url}/ui", look, allowed=REFUSED)
    hostile = "<img src=x onerror=alert(1)>.png"
    drop(
        page,
        [
            (hostile, "image/png", example),
            ("nothing.png", "image/png", b""),
            ("photo.heic", "image/heic", b"\x00\x00\x00\x18ftypheic" + bytes(64)),
            ("half.png", "image/png", example[: len(example) // 2]),
            ("sign.png", "image/png", sign),
            (
                "drawing.svg",
                "image/svg+xml",
                b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
            ),
        ],
    )
    expect(page.get_by_text("6 answered, 4 could not be read.")).to_be_visible()
    items = page.locator(".grid li")
    expect(items.nth(0)).to_contain_text("7")
    expect(items.nth(0).locator(".file")).to_have_text(hostile)
    assert items.nth(0).locator("img").count() == 1  # the thumbnail
    for index in (1, 2, 3, 5):
        sentence = items.nth(index).locator(".error").inner_text()
        assert re.fullmatch(r"[A-Z][^\n]{15,200}\.", sentence), sentence
    assert overflow(page) == 0
    screenshot(page, "grid", look)
    items.nth(4).locator("button").click()
    page.get_by_label("Model", exact=True).select_option(f"signnet/{highest_version('signnet').name}")
    expect_label(page, "no entry")


def test_error_is_a_sentence(server: ServerProcess, open_page: OpenPage, look: Look) -> None:
    page = open_page(f"{server.url}/ui", look, allowed=REFUSED)
    drop(page, [("nothing.png", "image/png", b"")])
    error = page.locator(".answer .error").first
    expect(error).to_have_text("The body is empty; send an image, a form with files, or JSON.")
    screenshot(page, "error", look)
    draw(page, ONE)
    expect(error).to_be_hidden()
    expect_label(page, "1")


def test_photograph_and_two_versions_side_by_side(
    server: ServerProcess, open_page: OpenPage, look: Look
) -> None:
    page = open_page(f"{server.url}/ui", look)
    page.get_by_label("Compare with").select_option(f"lenet5/{highest_version('lenet5').name}")
    page.get_by_role("button", name="Draw a 5").click()
    expect(page.locator(".answer .label")).to_have_text(["5", "5"])
    expect(page.get_by_role("heading", name=re.compile("lenet5 v"))).to_be_visible()
    assert overflow(page) == 0
    screenshot(page, "two", look)


def test_taken_or_chosen_file(server: ServerProcess, open_page: OpenPage) -> None:
    page = open_page(f"{server.url}/ui")
    example = highest_version("convnet") / "example.png"
    page.locator("input[type=file]").first.set_input_files(example)
    expect_label(page, "7")
    expect(page.locator(".photo")).to_be_visible()


def test_code_lines_name_what_was_asked(server: ServerProcess, open_page: OpenPage) -> None:
    page = open_page(f"{server.url}/ui")
    example = (highest_version("convnet") / "example.png").read_bytes()
    drop(page, [('it\'s "mine".png', "image/png", example)])
    expect_label(page, "7")
    text = page.locator("pre")
    expect(text).to_contain_text("""'@it'\\''s "mine".png'""")
    page.get_by_role("button", name="Python").click()
    expect(text).to_contain_text('open("it\'s \\"mine\\".png", "rb")')
    page.get_by_role("button", name="JavaScript").click()
    expect(text).to_contain_text("await fetch(")


def longest_task(trace: bytes) -> float:
    """The processor time in milliseconds of the longest task of a page's main thread."""
    events = json.loads(trace)["traceEvents"]
    main = {
        (each["pid"], each["tid"])
        for each in events
        if each["name"] == "thread_name" and each["args"]["name"] == "CrRendererMain"
    }
    tasks = [
        each["tdur"] / 1000
        for each in events
        if each["name"] == "RunTask" and (each["pid"], each["tid"]) in main and "tdur" in each
    ]
    assert len(tasks) > 100, "the trace has no tasks of the page"
    return float(max(tasks))


@pytest.mark.measures
def test_drawing_never_blocks_the_page(server: ServerProcess, open_page: OpenPage, browser: Browser) -> None:
    """No task of the page takes 50 ms while a visitor draws without a pause.

    Processor time is compared, so that other work of the machine does not count.
    """
    page = open_page(f"{server.url}/ui")
    draw(page, ONE)  # the first drawing compiles the code
    expect_label(page, "1")
    browser.start_tracing(
        page=page, categories=["devtools.timeline", "disabled-by-default-devtools.timeline"]
    )
    wave = [(0.1 + 0.8 * step / 40, 0.5 + 0.3 * float(np.sin(step / 3))) for step in range(41)]
    draw(page, [wave, [(y, x) for x, y in wave]])
    expect(page.locator(".answer .label").first).not_to_have_text(NO_LABEL)
    assert longest_task(browser.stop_tracing()) < LONG_TASK_MS


def test_first_paint_needs_no_model(server: ServerProcess, open_page: OpenPage, look: Look) -> None:
    page = open_page("about:blank", ready=False)
    page.route(re.compile("/(models|metrics)$"), lambda route: None)  # never answered
    page.goto(f"{server.url}/ui", wait_until="load")
    expect(page.locator("canvas.pad")).to_be_visible()
    expect(page.get_by_role("link", name="Models")).to_be_visible()
