"""One run's figures as the JSON that the page and the plots are made of."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.cases.measurements import Round, Row, Target
from benchmarks.cases.scaling_curves import Grown
from benchmarks.report.figures import Figures

Document = dict[str, Any]
FILE = "results.json"


def row_document(row: Row, rounds: Sequence[Round]) -> Document:
    return {
        "key": row.key,
        "title": row.title,
        "rounds": [{name: _brief(figures) for name, figures in each.items()} for each in rounds],
        "targets": [_target(target, rounds) for target in row.targets],
    }


def growth_document(grown: Grown) -> Document:
    points = [{"at": at, **_brief(figures)} for at, figures in grown.points]
    return {
        "key": grown.key, "title": grown.title, "unit": grown.unit, "what": grown.what, "points": points
    }  # fmt: skip


def merged(old: Document, new: Document) -> Document:
    """The new run's parts, and in their places the old one's that were not measured again."""
    pictures = dict.fromkeys([*old.get("pictures", []), *new["pictures"]])
    document = {**new, "max_rates": new["max_rates"] or old.get("max_rates", []), "pictures": list(pictures)}
    for part in ("rows", "growth"):
        fresh = {each["key"]: each for each in new[part]}
        kept = [fresh.pop(each["key"], each) for each in old.get(part, [])]
        document[part] = [*kept, *fresh.values()]
    return document


def write(folder: Path, document: Document) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def read(folder: Path) -> Document:
    document: Document = json.loads((folder / FILE).read_text())
    return document


def _target(target: Target, rounds: Sequence[Round]) -> Document:
    value = target.value(rounds)
    unknown = math.isnan(value)
    return {
        "text": target.text,
        "value": None if unknown else round(value, 3),
        "reached": None if unknown else target.reached(rounds),
    }


def _brief(figures: Figures) -> Mapping[str, Any]:
    """What there is, with four digits."""
    return {name: _rounded(value) for name, value in asdict(figures).items() if value is not None}


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value
