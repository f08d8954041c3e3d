"""The steps of a convolution, the fixed kernels, the pages of models, and the live figures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Page, expect

from tests.support.browser.pages import LOOKS, Look, OpenPage, drop, expect_label, overflow, screenshot
from tests.support.models.file_records import record_files
from tests.support.models.gray_classifier import image, publish_shades
from tests.support.models.shipped import highest_version
from tests.support.server.server_process import ServerProcess

CARD = """# shades

<script>alert(1)</script> & <b>bold</b>

## Robustness

| attack | accuracy |
| --- | ---: |
| blur | 98.1% |

[a link](javascript:alert(1)) and [another](https://example.org)

- one
- two `code`
"""


def module(page: Page, name: str) -> str:
    """The URL of a module of the page, whose path contains a digest."""
    icon = page.locator("link[rel=icon]").get_attribute("href")
    assert icon is not None
    url: str = page.evaluate("(path) => new URL(path, document.baseURI).href", icon.replace("icon.svg", name))
    return url


def reference(
    channels: NDArray[np.float64],
    kernels: NDArray[np.float64],
    bias: float,
    stride: int,
    padding: int,
    dilation: int,
) -> NDArray[np.float64]:
    """A convolution by its definition."""
    padded = np.pad(channels, ((0, 0), (padding, padding), (padding, padding)))
    reach = dilation * (kernels.shape[1] - 1) + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded, (reach, reach), axis=(1, 2))
    windows = windows[:, ::stride, ::stride, ::dilation, ::dilation]
    result: NDArray[np.float64] = np.einsum("cyxij,cij->yx", windows, kernels) + bias
    return result


@pytest.mark.parametrize(
    ("depth", "size", "stride", "padding", "dilation"),
    [(1, 3, 1, 0, 1), (1, 5, 2, 2, 1), (3, 3, 1, 1, 2), (3, 2, 3, 0, 1), (2, 3, 4, 4, 3)],
)
def test_convolution_of_the_page(
    server: ServerProcess,
    open_page: OpenPage,
    depth: int,
    size: int,
    stride: int,
    padding: int,
    dilation: int,
) -> None:
    page = open_page(f"{server.url}/ui")
    random = np.random.default_rng(0)
    channels, kernels = random.normal(size=(depth, 9, 12)), random.normal(size=(depth, size, size))
    got: Any = page.evaluate(
        "async ([url, channels, kernels, options]) => "
        "(await import(url)).convolve(channels, kernels, 0.5, options)",
        [
            module(page, "convolution.js"),
            channels.tolist(),
            kernels.tolist(),
            {"stride": stride, "padding": padding, "dilation": dilation},
        ],
    )
    expected = reference(channels, kernels, 0.5, stride, padding, dilation)
    assert np.array(got).shape == expected.shape
    assert np.allclose(got, expected)


def test_steps_of_the_example(server: ServerProcess, open_page: OpenPage, look: Look) -> None:
    page = open_page(f"{server.url}/ui#/inside", look)
    total = page.locator(".sum strong")
    expect(total).to_have_text("4")
    sums = []
    for row in range(3):
        for column in range(3):
            expect(page.get_by_text(f"Row {row + 1} of 3, column {column + 1} of 3")).to_be_visible()
            sums.append(total.inner_text())
            if column < 2:
                page.get_by_role("button", name="Unit to the right").click()
        for _ in range(2 if row < 2 else 0):
            page.get_by_role("button", name="Unit to the left").click()
        if row < 2:
            page.get_by_role("button", name="Unit below").click()
    assert sums == list("434243234")
    for label, value, text in (
        ("Padding", "1", "5 + 2·1"),
        ("Stride", "2", "/ 2⌋ + 1"),
        ("Dilation", "2", "\u2212 2·(3 \u2212 1)"),
    ):
        field = page.get_by_role("spinbutton", name=label)
        field.fill(value)
        field.press("Tab")
        expect(page.locator(".formula")).to_contain_text(text)
    expect(page.locator(".formula strong")).to_have_text("2")
    page.get_by_role("button", name="ReLU").click()
    expect(page.locator(".sum")).to_contain_text("max(0, ")
    page.get_by_role("button", name="Pooling").click()
    expect(page.locator(".sum")).to_contain_text("Largest of")
    assert overflow(page) == 0


def test_steps_on_own_pixels_and_fixed_kernels(
    server: ServerProcess, open_page: OpenPage, look: Look
) -> None:
    page = open_page(f"{server.url}/ui", look)
    page.get_by_role("button", name="Draw a 3").click()
    expect_label(page, "3")
    page.get_by_role("link", name="Look inside").click()
    page.get_by_role("button", name="Your picture").click()
    page.get_by_label("Kernel").select_option(label="Edges")
    expect(page.locator("figcaption").first).to_have_text("Input, 28 \u00d7 28")
    expect(page.locator("figcaption").last).to_have_text("Output, 26 \u00d7 26")
    screenshot(page, "inside-own", look)
    page.get_by_role("button", name="Fixed kernels").click()
    expect(page.locator(".filters li")).to_have_count(4)
    screenshot(page, "inside-kernels-own", look)


def test_models_have_pages(server: ServerProcess, open_page: OpenPage) -> None:
    page = open_page(f"{server.url}/ui#/models")
    expect(page.locator(".tile").first).to_contain_text("%")
    page.get_by_role("link", name=re.compile("signnet")).click()
    expect(page.get_by_role("heading", name="signnet", exact=False).first).to_be_visible()
    expect(page.locator(".figures")).to_contain_text("7,717,215")
    page.get_by_role("button", name="Try it").click()
    expect(page.get_by_label("Model", exact=True)).to_have_value(re.compile("signnet/"))


def test_evidence_and_card_are_inert(open_page: OpenPage, tmp_path: Path, look: Look) -> None:
    folder = publish_shades(tmp_path)
    (folder / "confusion.png").write_bytes(image(200, side=300))
    (folder / "README.md").write_text(CARD)
    record_files(folder)
    with ServerProcess(tmp_path) as server:
        page = open_page(f"{server.url}/ui#/models/shades/1", look)
        expect(page.locator(".evidence figure")).to_have_count(2)
        prose = page.locator(".prose")
        expect(prose).to_contain_text("<script>alert(1)</script> & <b>bold</b>")
        expect(prose.locator("td")).to_have_text("98.1%")
        assert prose.locator("script, b").count() == 0
        assert prose.locator("a").count() == 1
        expect(prose.locator("li")).to_have_count(2)
        assert overflow(page) == 0
        screenshot(page, "evidence", look)


def test_live_figures(open_page: OpenPage, look: Look) -> None:
    example = (highest_version("convnet") / "example.png").read_bytes()
    with ServerProcess(None) as server:
        page = open_page(f"{server.url}/ui", look)
        page.get_by_role("link", name="Server").click()
        convnet = page.locator(".live > li", has=page.get_by_role("heading", name="convnet"))
        rate = convnet.locator("dd").first
        expect(rate).to_have_text("0")
        page.evaluate(
            """async ([url, bytes]) => {
                for (let index = 0; index < 50; index += 1) {
                    await fetch(url, { method: "POST", body: Uint8Array.from(bytes) });
                }
            }""",
            [f"{server.url}/classify", list(example)],
        )
        expect(rate).not_to_have_text("0")
        expect(convnet.locator("dd").nth(1)).to_contain_text("ms")
        expect(convnet.locator("dd").nth(3)).to_have_text("1")
        assert overflow(page) == 0
        screenshot(page, "server-live", look)


def test_name_of_a_dropped_picture_is_inert_everywhere(server: ServerProcess, open_page: OpenPage) -> None:
    example = (highest_version("convnet") / "example.png").read_bytes()
    page = open_page(f"{server.url}/ui", LOOKS[0])
    hostile = "\"><script>document.title='broken'</script>"
    drop(page, [(hostile, "image/png", example)])
    expect_label(page, "7")
    expect(page.locator(".history button")).to_have_attribute("aria-label", re.compile(re.escape(hostile)))
    assert page.title() != "broken"
    assert page.locator("main script").count() == 0
