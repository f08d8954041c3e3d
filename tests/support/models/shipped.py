"""The models that ship with the project."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.server.server_process import ROOT


def highest_version(name: str) -> Path:
    """The folder of a shipped model's highest version; skips the test if there is none."""
    versions = list((ROOT / "models" / name).glob("[1-9]*"))
    if not versions:
        pytest.skip(f"no {name} has been published in models/")
    return max(versions, key=lambda entry: int(entry.name))
