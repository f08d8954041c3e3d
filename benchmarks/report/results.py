"""The results of a run as JSON, from which the page and the plots are built."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.cases.measurements import Round, Row, Target
from benchmarks.cases.scaling_curves import MeasuredCurve
from benchmarks.report.figures import Figures

Document = dict[str, Any]
FILE = "results.json"
# Keys in files of earlier versions, with their current names.
RENAMED_KEYS: Mapping[str, str] = {
    "complaint": "first_error",
    "pictures": "images",
    "refusal_p99": "rejection_p99",
    "refused": "rejected",
    "unclean": "failed",
    "what": "metric",
}


def row_document(row: Row, rounds: Sequence[Round]) -> Document:
    return {
        "key": row.key,
        "title": row.title,
        "rounds": [{name: _brief(figures) for name, figures in each.items()} for each in rounds],
        "targets": [_target(target, rounds) for target in row.targets],
    }


def curve_document(curve: MeasuredCurve) -> Document:
    return {
        "key": curve.key,
        "title": curve.title,
        "unit": curve.unit,
        "metric": curve.metric,
        "points": [{"at": at, **_brief(figures)} for at, figures in curve.points],
    }


def merged(old: Document, new: Document) -> Document:
    """Return the new results, with the old ones that were not measured again."""
    images = dict.fromkeys([*old.get("images", []), *new["images"]])
    document = {**new, "max_rates": new["max_rates"] or old.get("max_rates", []), "images": list(images)}
    for part in ("rows", "growth"):
        fresh = {each["key"]: each for each in new[part]}
        kept = [fresh.pop(each["key"], each) for each in old.get(part, [])]
        document[part] = [*kept, *fresh.values()]
    return document


def write(folder: Path, document: Document) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def read(folder: Path) -> Document:
    """Read the results in `folder`; former keys get their current names."""
    document: Document = json.loads((folder / FILE).read_text(), object_hook=_with_new_keys)
    return document


def _with_new_keys(document: Document) -> Document:
    return {RENAMED_KEYS.get(key, key): value for key, value in document.items()}


def _target(target: Target, rounds: Sequence[Round]) -> Document:
    value = target.value(rounds)
    unknown = math.isnan(value)
    return {
        "text": target.text,
        "value": None if unknown else round(value, 3),
        "reached": None if unknown else target.reached(rounds),
    }


def _brief(figures: Figures) -> Mapping[str, Any]:
    """Return the measured figures, rounded to four digits."""
    return {name: _rounded(value) for name, value in asdict(figures).items() if value is not None}


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value
