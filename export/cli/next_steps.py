"""The lines after the path of a published version: commands that serve and ask it, and its checkpoints."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_URL: Final = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class CommandResult:
    """The result of a command that has more to say than its output.

    Attributes:
        output: the text that the command prints, or the folder of the published version or the checkpoints.
        checkpoints: the folder of the checkpoints; None without training.
    """

    output: Path | str
    checkpoints: Path | None = None


def next_steps(result: CommandResult) -> Iterator[str]:
    """Yield a line on how to serve and ask a published version, and a line on its checkpoints."""
    if isinstance(result.output, Path) and (manifest := result.output / "manifest.json").is_file():
        yield _serve_and_ask(result.output, json.loads(manifest.read_bytes()))
    if result.checkpoints is not None:
        yield f"checkpoints: {result.checkpoints} (--resume continues from them)"


def _serve_and_ask(version: Path, manifest: Mapping[str, Any]) -> str:
    models = version.parent.parent
    serve = f"convserve serve --models {shlex.quote(str(models))}"
    if manifest["output"]["kind"] == "maps":
        return f"serve it: {serve}"
    example = manifest["example"]
    image = Path("image.png") if example is None else version / example["file"]
    ask = (
        f"curl --data-binary {shlex.quote(f'@{image}')} -H 'Content-Type: image/png' "
        f"{_URL}/models/{manifest['name']}/classify"
    )
    return f"serve it: {serve}; ask it in another terminal: {ask}"
