"""The page of figures is made of its JSON, and judges as it says."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from benchmarks.cases.measurements import Entry, Row, Target, at_least_times, at_most, figure, ratio
from benchmarks.cases.scaling_curves import Grown
from benchmarks.report import page, results
from benchmarks.report.figures import Figures
from benchmarks.run import rounds
from benchmarks.server_pool import Pace, Stage

ROUNDS = [
    {"fast": Figures(images=200.0, p99=1.0, cpu=0.1), "slow": Figures(images=100.0, p99=9.0, cpu=0.3)},
    {"fast": Figures(images=90.0, p99=3.0, cpu=0.1), "slow": Figures(images=30.0, p99=7.0, cpu=0.3)},
    {"fast": Figures(images=400.0, p99=2.0, cpu=0.2), "slow": Figures(images=100.0, p99=8.0, cpu=0.3)},
]


def never(stage: object) -> Figures:
    raise AssertionError("nothing is measured here")


FAST, SLOW = Entry("fast", never), Entry("slow", never)


def row(*targets: Target) -> Row:
    return Row("work", "some work", (FAST, SLOW), targets)


def document(*targets: Target) -> results.Document:
    points = [(1.0, ROUNDS[0]["fast"]), (8.0, ROUNDS[1]["fast"])]
    grown = Grown("growth", "Growth of something", "things", "images", points)
    return {
        "machine": "a machine",
        "details": {},
        "pace": {"rounds": 3, "seconds": 2.0, "heavy_seconds": 4.0, "warm_up": 1.0},
        "pictures": ["16 pictures"],
        "rows": [results.row_document(row(*targets), ROUNDS)],
        "growth": [results.growth_document(grown)],
        "max_rates": [{"name": "fast", "rate": 5000.0, "p99": [10.0, 11.0, 12.0]}],
        "skipped": ["a network that is not here"],
    }


def test_a_ratio_is_the_median_of_the_rounds_own() -> None:
    """2, 3 and 4; of the medians it would be 200 / 100."""
    assert ratio(ROUNDS, "fast", "slow", "images") == 3.0
    assert figure(ROUNDS, "fast", "p99") == 2.0


@pytest.mark.parametrize(("bound", "verdict"), [(2.9, "yes"), (3.0, "yes"), (3.1, "no")])
def test_a_target_is_judged_by_it(bound: float, verdict: str) -> None:
    lines = list(page.targets(document(at_least_times(FAST, SLOW, bound))["rows"]))
    assert lines[2] == f"| some work | throughput ≥ {bound:g} x slow | 3.00 | {verdict} |"


def test_what_was_not_there_is_not_judged() -> None:
    lines = list(page.targets(document(at_most(FAST, 20, "refusal_p99", "ms"))["rows"]))
    assert lines[2].endswith("|  | none to judge |")


def test_a_peer_that_answered_nothing_is_no_divisor() -> None:
    rounds = [{"fast": Figures(images=5.0), "slow": Figures(images=0.0)}]
    told = results.row_document(row(at_least_times(FAST, SLOW, 2)), rounds)
    assert (told["targets"][0]["value"], told["targets"][0]["reached"]) == (None, None)


def test_the_page_tells_the_medians_of_every_contender() -> None:
    text = page.measured(document())
    assert "| some work | images/s | p99, ms | CPU, ms an image |" in text
    assert "| fast | 200 | 2 | 0.1 |" in text
    assert "| slow | 100 | 8 | 0.3 |" in text
    assert "| fast | 5,000 | 10, 11, 12 |" in text
    assert "Not measured: a network that is not here" in text
    assert "![Growth of something](performance/growth.png)" in text


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    before, after = "# Title\n\n", "\n\nThe end.\n"
    once = page.filled(f"{before}{page.BEGIN}old{page.END}{after}", document())
    assert once.startswith(before)
    assert once.endswith(after)
    assert "old" not in once
    assert page.filled(once, document()) == once


def test_a_second_run_replaces_only_what_it_measured() -> None:
    old, new = document(), document()
    old["rows"].append({"key": "other", "title": "other work", "rounds": [], "targets": []})
    new["growth"] = []
    new["rows"][0]["title"] = "work done anew"
    old["pictures"], new["pictures"] = ["digits", "photographs"], ["digits"]
    merged = results.merged(old, new)
    assert merged["rows"][0]["title"] == "work done anew"
    assert [each["key"] for each in merged["rows"]] == ["work", "other"]
    assert [each["key"] for each in merged["growth"]] == ["growth"]
    assert merged["pictures"] == ["digits", "photographs"]


def test_answers_that_were_not_right_are_complained_of() -> None:
    unclean = [{"fast": Figures(unclean=2, complaint="a seven was a one"), "slow": Figures(unclean=0)}]
    told = list(page.complaints(results.row_document(row(), unclean)))
    assert told == ["work, round 1, fast: 2 requests: a seven was a one"]


def test_results_come_back_as_they_were_written(tmp_path: Path) -> None:
    results.write(tmp_path / "new", document())
    assert results.read(tmp_path / "new") == json.loads(json.dumps(document()))


def test_the_plots_are_drawn(tmp_path: Path) -> None:
    from benchmarks.report.plots import draw

    draw(tmp_path, document()["growth"], "a machine")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


def test_the_committed_page_is_made_of_the_committed_figures() -> None:
    text = page.PAGE.read_text()
    figures = results.read(page.FOLDER) if (page.FOLDER / results.FILE).exists() else None
    assert text == page.filled(text, figures)


def test_a_target_reads_the_rounds_it_is_given() -> None:
    target = Target("any", partial(figure, name="slow", what="cpu"), 0.3, at_least=False)
    assert target.reached(ROUNDS)


def test_who_begins_changes_from_round_to_round() -> None:
    begun: list[str] = []

    def noting(name: str) -> Entry:
        def measure(stage: object) -> Figures:
            begun.append(name)
            return Figures(images=1.0)

        return Entry(name, measure)

    three = Row("work", "some work", [noting("a"), noting("b"), noting("c")])
    with Stage(Pace(rounds=3, seconds=1.0, heavy_seconds=1.0, warm_up=0.5)) as stage:
        measured = list(rounds(three, stage))
    assert "".join(begun) == "abcbcacab"
    assert [list(each) for each in measured] == [["a", "b", "c"]] * 3
