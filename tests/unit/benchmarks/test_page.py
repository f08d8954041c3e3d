"""The performance page is built from the JSON results."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from benchmarks.cases.measurements import Entry, Row, Target, at_least_times, at_most, figure, ratio
from benchmarks.cases.scaling_curves import MeasuredCurve
from benchmarks.report import page, results
from benchmarks.report.figures import Figures
from benchmarks.run import rounds
from benchmarks.server_pool import ServerPool, Timing

ROUNDS = [
    {"fast": Figures(images=200.0, p99=1.0, cpu=0.1), "slow": Figures(images=100.0, p99=9.0, cpu=0.3)},
    {"fast": Figures(images=90.0, p99=3.0, cpu=0.1), "slow": Figures(images=30.0, p99=7.0, cpu=0.3)},
    {"fast": Figures(images=400.0, p99=2.0, cpu=0.2), "slow": Figures(images=100.0, p99=8.0, cpu=0.3)},
]


def never(pool: object) -> Figures:
    raise AssertionError("unexpected measurement")


FAST, SLOW = Entry("fast", never), Entry("slow", never)


def row(*targets: Target) -> Row:
    return Row("work", "some work", (FAST, SLOW), targets)


def document(*targets: Target) -> results.Document:
    points = [(1.0, ROUNDS[0]["fast"]), (8.0, ROUNDS[1]["fast"])]
    curve = MeasuredCurve("growth", "Growth of something", "things", "images", points)
    return {
        "machine": "a machine",
        "details": {},
        "pace": {"rounds": 3, "seconds": 2.0, "heavy_seconds": 4.0, "warm_up": 1.0},
        "images": ["16 images"],
        "rows": [results.row_document(row(*targets), ROUNDS)],
        "growth": [results.curve_document(curve)],
        "max_rates": [{"name": "fast", "rate": 5000.0, "p99": [10.0, 11.0, 12.0]}],
        "skipped": ["a network that is missing"],
    }


def test_ratio_is_the_median_of_the_ratios_per_round() -> None:
    """The ratios are 2, 3 and 4; the ratio of the medians would be 200 / 100."""
    assert ratio(ROUNDS, "fast", "slow", "images") == 3.0
    assert figure(ROUNDS, "fast", "p99") == 2.0


@pytest.mark.parametrize(("bound", "verdict"), [(2.9, "yes"), (3.0, "yes"), (3.1, "no")])
def test_target_compares_the_ratio_with_the_bound(bound: float, verdict: str) -> None:
    lines = list(page.targets(document(at_least_times(FAST, SLOW, bound))["rows"]))
    assert lines[2] == f"| some work | throughput ≥ {bound:g} x slow | 3.00 | {verdict} |"


def test_target_without_a_figure_is_not_measured() -> None:
    lines = list(page.targets(document(at_most(FAST, 20, "rejection_p99", "ms"))["rows"]))
    assert lines[2].endswith("|  | not measured |")


def test_ratio_to_zero_is_not_measured() -> None:
    rounds = [{"fast": Figures(images=5.0), "slow": Figures(images=0.0)}]
    measured_row = results.row_document(row(at_least_times(FAST, SLOW, 2)), rounds)
    assert (measured_row["targets"][0]["value"], measured_row["targets"][0]["reached"]) == (None, None)


def test_page_contains_the_medians_of_every_entry() -> None:
    text = page.measured(document())
    assert "| some work | images/s | p99, ms | CPU, ms per image |" in text
    assert "| fast | 200 | 2 | 0.1 |" in text
    assert "| slow | 100 | 8 | 0.3 |" in text
    assert "| fast | 5,000 | 10, 11, 12 |" in text
    assert "Not measured: a network that is missing" in text
    assert "![Growth of something](performance/growth.png)" in text


def test_text_outside_the_marks_is_kept() -> None:
    before, after = "# Title\n\n", "\n\nThe end.\n"
    once = page.filled(f"{before}{page.BEGIN}old{page.END}{after}", document())
    assert once.startswith(before)
    assert once.endswith(after)
    assert "old" not in once
    assert page.filled(once, document()) == once


def test_merged_results_keep_what_was_not_measured_again() -> None:
    old, new = document(), document()
    old["rows"].append({"key": "other", "title": "other work", "rounds": [], "targets": []})
    new["growth"] = []
    new["rows"][0]["title"] = "work measured again"
    old["images"], new["images"] = ["digits", "photographs"], ["digits"]
    merged = results.merged(old, new)
    assert merged["rows"][0]["title"] == "work measured again"
    assert [each["key"] for each in merged["rows"]] == ["work", "other"]
    assert [each["key"] for each in merged["growth"]] == ["growth"]
    assert merged["images"] == ["digits", "photographs"]


def test_failed_requests_are_reported() -> None:
    failures = [{"fast": Figures(failed=2, first_error="a seven became a one"), "slow": Figures(failed=0)}]
    lines = list(page.invalid_responses(results.row_document(row(), failures)))
    assert lines == ["work, round 1, fast: 2 requests: a seven became a one"]


def test_results_are_read_as_written(tmp_path: Path) -> None:
    results.write(tmp_path / "new", document())
    assert results.read(tmp_path / "new") == json.loads(json.dumps(document()))


def test_keys_of_earlier_versions_are_read(tmp_path: Path) -> None:
    old = {"pictures": ["digits"], "rows": [{"rounds": [{"fast": {"refused": 3, "refusal_p99": 1.5}}]}]}
    (tmp_path / results.FILE).write_text(json.dumps(old))
    new = {"images": ["digits"], "rows": [{"rounds": [{"fast": {"rejected": 3, "rejection_p99": 1.5}}]}]}
    assert results.read(tmp_path) == new


def test_plots_are_drawn(tmp_path: Path) -> None:
    from benchmarks.report.plots import draw

    draw(tmp_path, document()["growth"], "a machine")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


def test_committed_page_matches_the_committed_results() -> None:
    text = page.PAGE.read_text()
    figures = results.read(page.FOLDER) if (page.FOLDER / results.FILE).exists() else None
    assert text == page.filled(text, figures)


def test_target_is_reached_at_the_bound() -> None:
    target = Target("any", partial(figure, name="slow", metric="cpu"), 0.3, at_least=False)
    assert target.reached(ROUNDS)


def test_first_entry_changes_from_round_to_round() -> None:
    order: list[str] = []

    def recording(name: str) -> Entry:
        def measure(pool: object) -> Figures:
            order.append(name)
            return Figures(images=1.0)

        return Entry(name, measure)

    three = Row("work", "some work", [recording("a"), recording("b"), recording("c")])
    with ServerPool(Timing(rounds=3, seconds=1.0, heavy_seconds=1.0, warm_up=0.5)) as pool:
        measured = list(rounds(three, pool))
    assert "".join(order) == "abcbcacab"
    assert [list(each) for each in measured] == [["a", "b", "c"]] * 3
