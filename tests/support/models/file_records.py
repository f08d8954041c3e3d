"""Brings the list of files in a manifest up to date after a test has changed a published version."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

MANIFEST = "manifest.json"


def record_files(version: Path) -> None:
    """List the version's files with their sizes and digests, as a publication does."""
    document = json.loads((version / MANIFEST).read_text())
    contents = {path.name: path.read_bytes() for path in sorted(version.iterdir()) if path.name != MANIFEST}
    document["files"] = [
        {"name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in contents.items()
    ]
    document["onnx"]["sha256"] = hashlib.sha256(contents["model.onnx"]).hexdigest()
    (version / MANIFEST).write_text(json.dumps(document))


def downgrade(version: Path) -> None:
    """Rewrite the manifest in format 1."""
    document = json.loads((version / MANIFEST).read_text())
    for name in ("files", "variants", "inspect", "features"):
        del document[name]
    (version / MANIFEST).write_text(json.dumps({**document, "format": 1}))
