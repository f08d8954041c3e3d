"""The digest that identifies the files of a version, whatever their names on disk lead to."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress

from ..errors import InvalidModel
from ..system.regular_files import open_regular
from .manifest import MAX_FILES
from .version_folder import MANIFEST_FILE, VersionFolder


def content_digest(folder: VersionFolder, max_bytes: int, known: Mapping[str, str] | None = None) -> str:
    """The digest of a version's files: those of its manifest, or all in the folder if it has no valid one.

    It depends only on what the files contain, not on their times or on the folder's path. A file that cannot
    be read has a value of its own, so that mending it changes the digest.

    Args:
        max_bytes: a larger file is not read.
        known: the SHA-256 of files that were read just now.
    """
    known = known or {}
    optional: Mapping[str, str] = {}
    try:
        manifest = folder.manifest()
    except InvalidModel:
        names = _entries(folder)
    else:
        used = manifest.files_in_use
        names = used.union(each.name for each in manifest.files)
        # A file that no field refers to, such as a plot, may have been removed.
        optional = {each.name: each.sha256 for each in manifest.files if each.name not in used}
    digests = {
        name: known.get(name) or _digest(folder, name, max_bytes, if_missing=optional.get(name))
        for name in {*names, MANIFEST_FILE}
    }
    lines = "".join(f"{name} {digests[name]}\n" for name in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()


def _entries(folder: VersionFolder) -> Iterable[str]:
    with suppress(OSError):
        return sorted(name for name in os.listdir(folder.path) if not name.startswith("."))[:MAX_FILES]
    return []


def _digest(folder: VersionFolder, name: str, max_bytes: int, if_missing: str | None) -> str:
    try:
        with open_regular(folder.path / name, max_bytes) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        return if_missing or f"unreadable {error.errno}"
    except OSError as error:
        return f"unreadable {error.errno}"
