"""The files of a data set by name, whether they lie in a folder or still in the tar file they came in."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from pathlib import Path

from ..errors import DatasetError
from .image_files import Location


def tree(home: Path, part: str) -> Mapping[str, Location]:
    """All files of `home`/`part`.tar, or else those of the folder `home`/`part` and `home`/`part`.csv.

    Raises:
        DatasetError: neither is there, or the archive is damaged or ends too early.
    """
    archive = home / f"{part}.tar"
    if archive.is_file():
        return _archived(archive)
    if not (home / part).is_dir():
        raise DatasetError(f"{home} holds neither {part}.tar nor a folder {part}")
    paths = [home / f"{part}.csv", *(home / part).rglob("*")]
    found = {path.relative_to(home).as_posix(): path for path in paths if path.is_file()}
    return {name: Location(path, name) for name, path in found.items()}


def _archived(archive: Path) -> Mapping[str, Location]:
    try:
        length = archive.stat().st_size
        with tarfile.open(archive, "r:") as content:
            members = [member for member in content if member.isreg()]
    except tarfile.TarError as error:
        raise DatasetError(f"{archive} is truncated or no tar file ({error})") from error
    except OSError as error:
        raise DatasetError(f"{archive} cannot be read: {error.strerror or error}") from error
    cut = [member.name for member in members if member.offset_data + member.size > length]
    if cut:
        raise DatasetError(f"{archive} is truncated: it ends within {cut[0]}, after {length:,} bytes")
    return {
        member.name: Location(archive, f"{archive.name}:{member.name}", member.offset_data, member.size)
        for member in members
    }
