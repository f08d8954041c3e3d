"""Layers, maps and the reasons of an answer, of a version that was published with its layers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.browser.pages import Look, OpenPage, drop, expect_label, overflow, screenshot
from tests.support.inspection.inspected import publish_inspected
from tests.support.models.shipped import highest_version
from tests.support.server.server_process import ServerProcess


@pytest.fixture(scope="module")
def inspected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Serves convnet and signnet with inspect.onnx."""
    models: Path = tmp_path_factory.mktemp("inspected")
    publish_inspected(models, "convnet", "signnet")
    with ServerProcess(models) as server:
        yield server


def test_layers_open(inspected: ServerProcess, open_page: OpenPage, look: Look) -> None:
    page = open_page(f"{inspected.url}/ui", look)
    page.get_by_role("button", name="Draw a 3").click()
    expect_label(page, "3")
    page.goto(f"{inspected.url}/ui#/inside/layers")
    expect(page.locator(".layers-page .figures")).to_contain_text("104,202")
    page.locator(".layers button", has_text="conv1").click()
    expect(page.locator(".maps button")).to_have_count(32)
    expect(page.locator(".kernel-list li")).to_have_count(32)
    page.locator(".maps button").nth(4).focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".seen [role=status]")).to_have_text(
        re.compile(r"Map 5, unit in row 14, column 15: \S+\. It sees 3 . 3 pixels\.")
    )
    assert overflow(page) == 0
    screenshot(page, "layers", look)
    page.locator(".layers button", has_text="dense1").click()
    expect(page.locator(".seen [role=status]")).to_contain_text("Each unit sees the whole picture.")


def test_steps_equal_the_activations_of_the_network(inspected: ServerProcess, open_page: OpenPage) -> None:
    page = open_page(f"{inspected.url}/ui")
    page.get_by_role("button", name="Draw a 3").click()
    expect_label(page, "3")
    page.goto(f"{inspected.url}/ui#/inside")
    page.get_by_role("button", name="Your picture").click()
    for kernel in ("conv1, kernel 1", "conv1, kernel 32"):
        page.get_by_label("Kernel").select_option(label=kernel)
        expect(page.locator(".check-ok")).to_have_text(re.compile("Equal to the network's own activations"))
    stride = page.get_by_role("spinbutton", name="Stride")
    stride.fill("2")
    stride.press("Tab")
    expect(page.locator(".check-ok")).to_have_count(0)


def test_reasons_of_an_answer(inspected: ServerProcess, open_page: OpenPage, look: Look) -> None:
    page = open_page(f"{inspected.url}/ui", look)
    page.get_by_role("button", name="Draw a 7").click()
    expect_label(page, "7")
    page.get_by_role("button", name="Why this answer?").click()
    line = page.locator(".why .line").first
    expect(line).to_have_text(re.compile(r"7: .* evidence .* bias = "))
    numbers = re.findall(r"[+\u2212]?\d+(?:\.\d+)?", line.inner_text())[1:]
    evidence, bias, score = (float(number.replace("\u2212", "-")) for number in numbers)
    assert evidence + bias == pytest.approx(score, abs=0.02)  # two decimals are shown
    words = re.compile(r"[A-Z].* % of the evidence in 10 % of the pixels\.")
    expect(page.locator(".why .words")).to_have_text(words)
    page.get_by_role("button", name="Test this map").click()
    expect(page.locator(".plots")).to_contain_text("Deletion, lower is better")
    assert overflow(page) == 0
    screenshot(page, "why", look)
    page.get_by_label("and not").select_option(label="1")
    expect(line).to_have_text(re.compile("7 and not 1: "))
    page.get_by_label("Method").select_option("occlusion")
    expect(page.locator(".why .sum")).to_contain_text("Occlusion")
    page.get_by_role("button", name="Flip it").click()
    expect(page.locator(".why .more p")).to_have_text(re.compile("^(Without|No erasure)"))


def test_columns_of_a_committee(inspected: ServerProcess, open_page: OpenPage) -> None:
    page = open_page(f"{inspected.url}/ui")
    version = int(highest_version("signnet").name) + 1
    page.get_by_label("Model", exact=True).select_option(f"signnet/{version}")
    drop(page, [("sign.png", "image/png", (highest_version("signnet") / "example.png").read_bytes())])
    expect_label(page, "no entry")
    page.get_by_role("button", name="Why this answer?").click()
    expect(page.locator(".votes li")).to_have_count(5, timeout=15_000)
    expect(page.locator(".votes li").first).to_have_text("1: no entry")


def test_version_without_layers_is_explained_by_occlusion(server: ServerProcess, open_page: OpenPage) -> None:
    page = open_page(f"{server.url}/ui")
    page.get_by_role("button", name="Draw a 7").click()
    expect_label(page, "7")
    page.get_by_role("button", name="Why this answer?").click()
    expect(page.locator(".why .words")).to_contain_text("of the evidence")
