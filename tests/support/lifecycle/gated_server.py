"""A server whose loads end only when a test says so; it takes the arguments of `convserve`.

The variable LOAD_GATE names a folder. While it contains a file with the name of a model, a load of this model
does not end, and the process has written a file `<model>-<pid>` there.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from service.cli.main import main
from service.inference.loader import Loader

GATED = (sys.executable, "-m", "tests.support.lifecycle.gated_server")

_load = Loader.__call__


def _gated(*arguments: object) -> object:
    model = _load(*arguments)  # type: ignore[arg-type]
    gate = Path(os.environ["LOAD_GATE"])
    waiting = gate / f"{model.name}-{os.getpid()}"
    while (gate / model.name).exists():
        waiting.touch()
        time.sleep(0.01)
    waiting.unlink(missing_ok=True)
    return model


class Gate:
    """The folder of a gate, as a test sees it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.own = {"LOAD_GATE": str(folder)}

    def close(self, model: str = "shades") -> None:
        (self.folder / model).touch()

    def open(self, model: str = "shades") -> None:
        (self.folder / model).unlink()

    def waiting(self, model: str = "shades") -> set[int]:
        """The processes whose load of a model does not end."""
        return {int(path.name.rpartition("-")[2]) for path in self.folder.glob(f"{model}-*")}


if __name__ == "__main__":
    Loader.__call__ = _gated  # type: ignore[method-assign, assignment]
    sys.exit(main())
