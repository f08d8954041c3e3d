"""Reading back published versions, also such as were made to block or fill the memory of the reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from export.errors import ExportError
from export.repository.repository_reader import read_version
from tests.support.models.broken_versions import change_the_golden_data, change_the_graph
from tests.support.models.gray_classifier import LABELS, graph, publish_shades
from tests.support.models.hostile_versions import ATTACKS

KINDS = ("fifo", "device", "socket", "folder", "large-manifest", "large-golden", "inflated-golden")
# The attacks on files, which the reader must refuse. It does not run the graph, and checks few values.
ON_FILES = {name: reason for name, (_, reason) in ATTACKS.items() if name.startswith(KINDS)}
# It reads nothing beyond its own limits, whatever the manifest says about the sizes.
ON_FILES |= {"inflated-golden": "inflate to", "large-golden": "larger than"}


def test_published_version_is_read(tmp_path: Path) -> None:
    publish_shades(tmp_path)
    version = read_version(tmp_path, "shades")
    assert (version.version, version.graph, version.manifest.labels) == ("1", graph(), LABELS)
    assert version.golden_inputs.shape == (10, 8, 8, 1)


@pytest.mark.parametrize("breaks", [change_the_graph, change_the_golden_data])
def test_changed_file_is_refused(tmp_path: Path, breaks: Callable[[Path], None]) -> None:
    breaks(publish_shades(tmp_path))
    with pytest.raises(ExportError, match="does not have the digest of its manifest"):
        read_version(tmp_path, "shades")


@pytest.mark.parametrize("name", ON_FILES)
def test_hostile_file_is_refused(tmp_path: Path, name: str) -> None:
    ATTACKS[name][0](publish_shades(tmp_path))
    with pytest.raises(ExportError, match=ON_FILES[name]):
        read_version(tmp_path, "shades", "1")


def test_deeply_nested_manifest_is_refused(tmp_path: Path) -> None:
    (publish_shades(tmp_path) / "manifest.json").write_text("[" * 1_000_000)
    with pytest.raises(ExportError, match="is not JSON"):
        read_version(tmp_path, "shades", "1")
