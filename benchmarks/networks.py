"""AlexNet for the benchmarks: published by the export with random weights, and converted without rewrites.

Random weights classify nothing, and cost exactly what trained ones do.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import suppress
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
        if not _versions(repository, quantised=False):
            _export("alexnet", "--weights", "random", "--models", str(repository))
        if models is None and not _versions(repository, quantised=True):
            with suppress(RuntimeError):  # without it there is one row less
                _export("quantize", "alexnet", "--models", str(repository))
        published = _versions(repository, quantised=False)[-1]
        int8 = _versions(repository, quantised=True)
        return cls(published, int8[-1] if int8 else None, _plain(published))


def _versions(repository: Path, *, quantised: bool) -> list[Path]:
    folders = [path.parent for path in sorted(repository.glob("alexnet/[0-9]*/manifest.json"))]
    return [
        folder
        for folder in folders
        if bool(json.loads((folder / "manifest.json").read_text()).get("quantization")) == quantised
    ]


def _export(*arguments: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "export", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    if result.returncode:
        last = (result.stderr.strip() or "it says nothing").splitlines()[-1]
        raise RuntimeError(f"export {arguments[0]}: {last}")


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
