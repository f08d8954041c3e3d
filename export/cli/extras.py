"""Checks that the libraries of the extra `convserve[export]` are installed."""

from __future__ import annotations

import importlib.util
from typing import Final

from ..errors import MissingExtra

# The imported modules of the extra `export` in pyproject.toml.
MODULES: Final = ("keras", "matplotlib", "onnx", "tensorflow", "tf2onnx")


def check_installed() -> None:
    """Check that all libraries are installed, before a command loads data or trains.

    Raises:
        MissingExtra: a library is not installed.
    """
    absent = [name for name in MODULES if importlib.util.find_spec(name) is None]
    if absent:
        raise MissingExtra(
            f"this command needs convserve[export], which is not installed (no {', '.join(absent)}); "
            "run pip install 'convserve[export]'"
        )
