"""Renders the figures of explanations as a section of a model card."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

TITLE: Final = "## Explanations"

_SECTION = re.compile(rf"^{TITLE}\n.*?(?=^## |^!\[|^Generated from|\Z)", re.MULTILINE | re.DOTALL)
# The section stands in front of the first of these.
_FOLLOWING = re.compile(r"^(?:## Training|## Layers|## Labels|!\[|Generated from)", re.MULTILINE)


def render(figures: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of the section; nothing without figures."""
    if not figures:
        return
    images = max(int(each["images"]) for each in figures.values())
    yield from (TITLE, "")
    yield (
        f"On {images:,} test images, the mean probability of the label while pixels are erased in the order "
        "of a map (deletion, lower is better), and while they are shown (insertion, higher is better). A "
        "method is offered if it is better in both than a random map and than a bright centre."
    )
    yield from ("", "| map | layer | deletion | insertion | offered |", "| --- | --- | ---: | ---: | --- |")
    for name, each in figures.items():
        yield _row(name, each["layer"] or "", each, "yes" if offered(each) else "no")
    first = next(iter(figures.values()))
    yield _row("a random map", "", first["random"], "")
    yield _row("a bright centre", "", first["gaussian"], "")
    yield ""


def offered(figures: Mapping[str, Any]) -> bool:
    """Return True if a method is better than a random map and a bright centre."""
    rivals = (figures["random"], figures["gaussian"])
    return all(
        figures["deletion"] < each["deletion"] and figures["insertion"] > each["insertion"] for each in rivals
    )


def insert(card: str, figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a model card with the section, which replaces an older one."""
    card = _SECTION.sub("", card)
    section = "\n".join(render(figures))
    if not section:
        return card
    match = _FOLLOWING.search(card)
    place = len(card) if match is None else match.start()
    return f"{card[:place]}{section}\n{card[place:]}"


def _row(name: str, layer: str, figures: Mapping[str, Any], note: str) -> str:
    return f"| {name} | {layer} | {figures['deletion']:.3f} | {figures['insertion']:.3f} | {note} |"
