"""Renders an evaluation as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, Final

from ..evaluation.digit_table import DigitTable
from ..evaluation.report import ClassResult, EvaluationReport, Flip
from ..evaluation.robustness import Robustness

_MAX_CLASSES: Final = 60
_MAX_CONFUSIONS: Final = 10
_MAX_IMAGES: Final = 20
_MAX_LABEL: Final = 40


def render(report: EvaluationReport, before: EvaluationReport | None = None) -> str:
    """Return the report for a terminal; with the images that differ from another version's, if given."""
    lines = [*_summary(report), "", *_classes(report.classes())]
    confusions = [
        (f"{count:,}", f"{_shorten(true)} → {_shorten(predicted)}")
        for true, predicted, count in report.confusions(_MAX_CONFUSIONS)
    ]
    if confusions:
        lines += ["", "most frequent confusions (true → predicted)", *_align(confusions, right=(0,))]
    if before is not None:
        lines += ["", *_comparison(report, before)]
    return "\n".join(lines)


def render_robustness(robustness: Robustness, version: str) -> str:
    """Return the table of a robustness for a terminal."""
    rows = [("images", "accuracy", "mean confidence")]
    rows += [
        (result.condition, f"{result.accuracy:.1%}", f"{result.confidence:.1%}")
        for result in robustness.results
    ]
    return "\n".join(
        [
            f"{version} on {robustness.dataset}, {robustness.examples:,} images",
            "",
            *_align(rows, right=(1, 2)),
        ]
    )


def render_digits(table: DigitTable, version: str) -> str:
    """Return the table of digits on paper for a terminal."""
    rows = [("pictures", *table.rules)]
    rows += [(result.condition, *(f"{each:.1%}" for each in result.accuracies)) for result in table.results]
    return "\n".join(
        [
            f"{version} on {table.examples:,} digits of {table.dataset}, accuracy by resize rule",
            "",
            *_align(rows, right=range(1, 1 + len(table.rules))),
        ]
    )


def document(report: EvaluationReport, before: EvaluationReport | None = None) -> str:
    """Return the report as JSON, with each wrong and each unreadable image."""
    evaluation = asdict(report.evaluation())
    low, high = report.interval()
    content: dict[str, Any] = {
        "model": report.version,
        **evaluation,
        "accuracy_interval": {"level": 0.95, "low": low, "high": high},
        "classes": [asdict(each) for each in report.classes()],
        "confusion": report.confusion().tolist(),
        "mistakes": list(_mistakes(report)),
        "unreadable": dict(report.unreadable),
    }
    del content["predicted"]  # listed with the classes
    if before is not None:
        content["compared_with"] = {
            "model": before.version,
            "accuracy": before.evaluation().accuracy,
            "flips": [asdict(flip) for flip in report.flips(before)],
        }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _summary(report: EvaluationReport) -> Iterator[str]:
    evaluation = report.evaluation()
    low, high = report.interval()
    yield f"{report.version} on {report.dataset}, {len(report):,} images"
    yield ""
    rows = [
        ("accuracy", f"{evaluation.accuracy:.2%}", f"95 % interval {low:.2%} to {high:.2%}"),
        ("top-5", f"{evaluation.top5:.2%}", ""),
        ("calibration error", f"{evaluation.calibration_error:.2%}", "expected, 15 bins"),
    ]
    yield from (line.rstrip() for line in _align(rows, right=(1,)))
    if report.unreadable:
        name, reason = next(iter(report.unreadable.items()))
        yield f"{len(report.unreadable):,} images cannot be read, such as {name} ({reason})"


def _classes(classes: Sequence[ClassResult]) -> Iterator[str]:
    found = [each for each in classes if each.examples or each.predicted]
    shown = found
    if len(found) > _MAX_CLASSES:
        shown = sorted(found, key=lambda each: each.right / max(each.examples, 1))[:_MAX_CLASSES]
        yield f"the {_MAX_CLASSES} classes of {len(found):,} with the lowest recall"
    rows = [("class", "images", "right", "recall", "precision")]
    rows += [
        (
            _shorten(each.label),
            f"{each.examples:,}",
            f"{each.right:,}",
            _share(each.right, each.examples),
            _share(each.right, each.predicted),
        )
        for each in shown
    ]
    yield from _align(rows, right=(1, 2, 3, 4))
    absent = len(classes) - len(found)
    if absent:
        yield f"{absent:,} classes without images"


def _comparison(report: EvaluationReport, before: EvaluationReport) -> Iterator[str]:
    flips = report.flips(before)
    gained = [flip for flip in flips if flip.after == flip.label]
    lost = [flip for flip in flips if flip.before == flip.label]
    accuracies = [each.evaluation().accuracy for each in (before, report)]
    yield (
        f"{before.version} → {report.version}: accuracy {accuracies[0]:.2%} → {accuracies[1]:.2%}; "
        f"{len(flips):,} of {len(report):,} images flipped"
    )
    for title, group in (
        ("now right", gained),
        ("now wrong", lost),
        ("wrong in both", [flip for flip in flips if flip.label not in (flip.before, flip.after)]),
    ):
        yield f"{title}: {len(group):,}"
        yield from (f"  {_flip(flip)}" for flip in group[:_MAX_IMAGES])
        if len(group) > _MAX_IMAGES:
            yield f"  and {len(group) - _MAX_IMAGES:,} more; --json lists all"


def _flip(flip: Flip) -> str:
    return f"{flip.image}: {flip.label}, predicted {flip.before} → {flip.after}"


def _mistakes(report: EvaluationReport) -> Iterator[dict[str, Any]]:
    predictions = report.predictions
    for index, (image, true) in enumerate(zip(report.names, report.labels, strict=True)):
        predicted = int(predictions[index])
        if predicted != true:
            yield {
                "image": image,
                "label": report.class_names[int(true)],
                "predicted": report.class_names[predicted],
                "probability": round(float(report.probabilities[index, predicted]), 6),
            }


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "-"


def _align(rows: Sequence[Sequence[str]], right: Sequence[int]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  " + "  ".join(cells).rstrip()


def _shorten(label: str) -> str:
    return label if len(label) <= _MAX_LABEL else f"{label[: _MAX_LABEL - 1]}…"
