"""Writes the measured part of the performance page from the JSON results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.servers import ROOT

PAGE = ROOT / "docs" / "explanation" / "performance-results.md"
FOLDER = PAGE.parent / "performance"
UNMEASURED = "No figures are committed yet: `make bench` writes them here.\n"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
VERDICTS = {True: "yes", False: "no", None: "not measured"}
COLUMNS: Mapping[str, str] = {
    "images": "images/s",
    "p50": "p50, ms",
    "p99": "p99, ms",
    "rejected": "rejected",
    "rejection_p99": "p99 of rejections, ms",
    "cpu": "CPU, ms per image",
    "ready": "start to ready, s",
    "pss": "PSS, MB",
    "generator": "generator, cores",
}


def filled(page: str, document: Mapping[str, Any] | None) -> str:
    """Return the page with new text between the two marks; None means that nothing has been measured."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    figures = measured(document) if document is not None else UNMEASURED
    return f"{before}{BEGIN}\n\n{figures}\n{END}{after}"


def fill(document: Mapping[str, Any]) -> None:
    PAGE.write_text(filled(PAGE.read_text(), document))


def measured(document: Mapping[str, Any]) -> str:
    return "\n".join([*_head(document), *targets(document["rows"]), *_rows(document), *_curves(document)])


def targets(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of the table of targets with their verdicts."""
    yield "| workload | target | measured | reached |"
    yield "| --- | --- | ---: | --- |"
    for row in rows:
        for target in row["targets"]:
            value = "" if target["value"] is None else f"{target['value']:.2f}"
            yield f"| {row['title']} | {target['text']} | {value} | {VERDICTS[target['reached']]} |"
    yield ""


def row_table(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a table with the median figures of each entry."""
    names = list(row["rounds"][0])
    medians = {name: _medians([each[name] for each in row["rounds"]]) for name in names}
    used = [column for column in COLUMNS if any(column in figures for figures in medians.values())]
    if not any(figures.get("rejected") for figures in medians.values()):
        used = [column for column in used if column != "rejected"]
    yield f"| {row['title']} | {' | '.join(COLUMNS[column] for column in used)} |"
    yield f"| --- |{' ---: |' * len(used)}"
    for name in names:
        cells = [_cell(medians[name].get(column)) for column in used]
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""


def invalid_responses(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line per entry with failed requests or incorrect responses, which invalidate its figures."""
    for number, each in enumerate(row["rounds"], start=1):
        for name, figures in each.items():
            if figures.get("failed"):
                text = figures.get("first_error", "no response, or an error")
                yield f"{row['key']}, round {number}, {name}: {figures['failed']} requests: {text}"


def _head(document: Mapping[str, Any]) -> Iterator[str]:
    pace = document["pace"]
    seconds = f"{pace['seconds']:g} s ({pace['heavy_seconds']:g} s with AlexNet)"
    yield f"Measured on {document['machine']}. All figures: [results.json](performance/results.json)."
    yield ""
    yield (
        f"Each figure is the median of {pace['rounds']} rounds of {seconds} after {pace['warm_up']:g} s of "
        "warm-up; a ratio is the median of the ratios of each round."
    )
    yield f"Images: {'; '.join(document['images'])}."
    yield ""


def _rows(document: Mapping[str, Any]) -> Iterator[str]:
    yield "### All servers"
    yield ""
    for row in document["rows"]:
        yield from row_table(row)
    for skipped in document.get("skipped", []):
        yield f"Not measured: {skipped}"
        yield ""
    rates = document.get("max_rates", [])
    if rates:
        yield "### Highest Poisson rate with p99 ≤ 15 ms"
        yield ""
        yield "| server | requests/s | p99 in the confirming runs, ms |"
        yield "| --- | ---: | --- |"
        for each in rates:
            yield f"| {each['name']} | {_cell(each['rate'])} | {', '.join(map(_cell, each['p99']))} |"
        yield ""


def _curves(document: Mapping[str, Any]) -> Iterator[str]:
    if document["growth"]:
        yield "### Scaling"
        yield ""
        for curve in document["growth"]:
            yield f"![{curve['title']}](performance/{curve['key']}.png)"
        yield ""


def _medians(rounds: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    shared = [column for column in COLUMNS if all(column in figures for figures in rounds)]
    return {column: median(figures[column] for figures in rounds) for column in shared}


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
