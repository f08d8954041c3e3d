"""AlexNet for the benchmarks: published by the export with random weights, and converted without rewrites.

Random weights classify nothing, and cost exactly what trained ones do.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from .contenders import ROOT

CACHE = ROOT / "build" / "benchmarks"


@dataclass(frozen=True, slots=True)
class AlexNet:
    """Folders of versions: as published, as published in int8, and as converted."""

    published: Path
    int8: Path | None
    plain: Path | None

    @classmethod
    def found(cls, models: Path | None) -> Self:
        """In a repository, or else published into a folder that is kept for the next time.

        Raises:
            RuntimeError: the export does not publish it.
        """
        repository = models or CACHE / "models"
        if not list(repository.glob("alexnet/*/manifest.json")):
            _publish(repository)
        versions = {folder: _manifest(folder) for folder in sorted(repository.glob("alexnet/*"))}
        floats = [folder for folder, manifest in versions.items() if not manifest.get("quantization")]
        whole = [folder for folder, manifest in versions.items() if manifest.get("quantization")]
        return cls(floats[-1], whole[-1] if whole else None, _plain(floats[-1]))


def _publish(repository: Path) -> None:
    command = [sys.executable, "-m", "export", "alexnet", "--weights", "random", "--models", str(repository)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command[1:])}: {result.stderr.strip().splitlines()[-1]}")


def _plain(published: Path) -> Path | None:
    """The same network as tf2onnx writes it, for what the rewrites of the export are worth."""
    folder = CACHE / "plain" / "alexnet" / "1"
    if not (folder / "model.onnx").exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "benchmarks.plain", str(folder / "model.onnx")]
        if subprocess.run(command, cwd=ROOT, capture_output=True).returncode:
            return None
    shutil.copy(published / "manifest.json", folder / "manifest.json")
    return folder


def _manifest(folder: Path) -> dict[str, object]:
    manifest: dict[str, object] = json.loads((folder / "manifest.json").read_text())
    return manifest
