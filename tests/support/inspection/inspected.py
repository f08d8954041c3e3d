"""Shipped models that are published again with `inspect.onnx`."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

from export.pipelines.inspection import InspectionOptions, publish_inspection
from tests.support.models.shipped import highest_version


def publish_inspected(models: Path, *names: str) -> None:
    """Copy the newest version of each model, and publish it again as the next version."""
    for name in names:
        source = highest_version(name)
        shutil.copytree(source, models / name / source.name)
        publish_inspection(InspectionOptions(models=models, model=(name, source.name)), io.StringIO())
