"""Writes docker/grafana/dashboards/convserve.json from docker/grafana/panels.toml (`make docs`)."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

GRAFANA = Path(__file__).resolve().parent.parent / "docker" / "grafana"
TARGET = GRAFANA / "dashboards" / "convserve.json"

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
INSTANCE = 'instance=~"$instance"'
MODEL = f'{INSTANCE}, model=~"$model"'
VERSION = f'{MODEL}, version=~"$version"'
SELECTIONS = {"@instance": INSTANCE, "@model": MODEL, "@version": VERSION}

# In cells of Grafana's grid.
GRID_WIDTH = 24
WIDTHS = {"stat": 4}
HEIGHTS = {"stat": 4}
WIDTH = HEIGHT = 8


def dashboard() -> dict[str, Any]:
    """Return the dashboard as JSON data for Grafana's provisioning."""
    rows = tomllib.loads((GRAFANA / "panels.toml").read_text())["row"]
    return {
        "uid": "convserve",
        "title": "convserve",
        "tags": ["convserve"],
        "schemaVersion": 41,
        "version": 1,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": list(_variables())},
        "panels": [{**panel, "id": number} for number, panel in enumerate(_with_positions(rows), start=1)],
    }


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Source"}
    for name, selection in (("instance", ""), ("model", INSTANCE), ("version", MODEL)):
        query = f"label_values(convserve_model_info{{{selection}}}, {name})"
        yield {
            "name": name,
            "type": "query",
            "datasource": SOURCE,
            "definition": query,
            "query": {"query": query, "refId": name},
            "refresh": 2,  # on every change of the time range
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": ["All"], "value": ["$__all"]},
        }


def _with_positions(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield rows and panels with their positions, left to right and top to bottom."""
    y = 0
    for row in rows:
        place = {"x": 0, "y": y, "w": GRID_WIDTH, "h": 1}
        yield {"type": "row", "title": row["title"], "collapsed": False, "panels": [], "gridPos": place}
        x, y, height = 0, y + 1, 0
        for panel in row["panel"]:
            kind = panel.get("kind", "timeseries")
            width = panel.get("width", WIDTHS.get(kind, WIDTH))
            if x + width > GRID_WIDTH:
                x, y = 0, y + height
            height = HEIGHTS.get(kind, HEIGHT)
            yield {**_panel(panel, kind), "gridPos": {"x": x, "y": y, "w": width, "h": height}}
            x += width
        y += height


def _panel(panel: Mapping[str, Any], kind: str) -> dict[str, Any]:
    unit = panel.get("unit", "short")
    defaults = {"unit": unit, "min": 0, **({"max": 1} if unit == "percentunit" else {})}
    return {
        "type": kind,
        "title": panel["title"],
        "description": panel.get("text", ""),
        "datasource": SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"calculate": False, "yAxis": {"unit": unit}} if kind == "heatmap" else {},
        "targets": [
            {**_target(expression, kind), "refId": letter, "legendFormat": legend}
            for letter, (legend, expression) in zip("ABC", panel["query"].items(), strict=False)
        ],
    }


def _target(expression: str, kind: str) -> dict[str, Any]:
    for name, selection in SELECTIONS.items():
        expression = expression.replace(name, selection)
    target: dict[str, Any] = {"datasource": SOURCE, "expr": " ".join(expression.split())}
    if kind in ("stat", "table"):
        target |= {"instant": True, "range": False}
    if kind in ("heatmap", "table"):
        target |= {"format": kind}
    return target


if __name__ == "__main__":
    TARGET.write_text(json.dumps(dashboard(), indent=2) + "\n")
