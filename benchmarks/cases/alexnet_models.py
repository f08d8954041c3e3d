"""AlexNet for the benchmarks: published with random weights, and converted without rewrites.

Inference with random weights takes as long as with trained ones.
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

from benchmarks.servers import ROOT

CACHE = ROOT / "build" / "benchmarks"


@dataclass(frozen=True, slots=True)
class AlexNet:
    """The version folders of AlexNet.

    Attributes:
        published: float32.
        int8, float16: reduced precision; None if there is no such version.
        plain: the graph as converted, without the rewrites of the export; None if the conversion failed.
    """

    published: Path
    int8: Path | None
    float16: Path | None
    plain: Path | None

    @classmethod
    def find(cls, models: Path | None) -> Self:
        """Find the versions in a repository; None publishes them to a cache.

        Raises:
            RuntimeError: the export failed.
        """
        repository = models or CACHE / "models"
        if _newest(repository) is None:
            _export("alexnet", "--weights", "random", "--models", str(repository))
        for precision in ("int8", "float16"):
            if models is None and _newest(repository, precision) is None:
                with suppress(RuntimeError):  # its row is then skipped
                    _export("quantize", "alexnet", "--precision", precision, "--models", str(repository))
        published = _newest(repository)
        if published is None:
            raise RuntimeError(f"{repository} contains no float32 version of alexnet")
        return cls(published, _newest(repository, "int8"), _newest(repository, "float16"), _plain(published))


def _newest(repository: Path, precision: str | None = None) -> Path | None:
    """Return the highest version with this reduced precision; None means float32."""
    folders = [path.parent for path in sorted(repository.glob("alexnet/[0-9]*/manifest.json"))]
    return next((folder for folder in reversed(folders) if _precision(folder) == precision), None)


def _precision(folder: Path) -> str | None:
    quantization = json.loads((folder / "manifest.json").read_text()).get("quantization")
    if not quantization:
        return None
    return "float16" if quantization["method"].startswith("float16") else "int8"


def _export(*arguments: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "export", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    if result.returncode:
        last = (result.stderr.strip() or "no error message").splitlines()[-1]
        raise RuntimeError(f"export {arguments[0]}: {last}")


def _plain(published: Path) -> Path | None:
    """Return a version with the graph of tf2onnx, to measure the effect of the rewrites."""
    folder = CACHE / "plain" / "alexnet" / "1"
    if not (folder / "model.onnx").exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "benchmarks.cases.keras_graph", str(folder / "model.onnx")]
        if subprocess.run(command, cwd=ROOT, capture_output=True).returncode:
            return None
    shutil.copy(published / "manifest.json", folder / "manifest.json")
    return folder
