"""Lists the files of a data set in a folder or a tar file."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from pathlib import Path

from ..errors import DatasetError
from .image_files import Location


def list_files(folder: Path, part: str) -> Mapping[str, Location]:
    """List the files in `folder`/`part`.tar or, without it, in the folder `folder`/`part`, and `part`.csv.

    Returns:
        The location of each file by name.

    Raises:
        DatasetError: neither exists, or the archive is damaged or truncated.
    """
    archive = folder / f"{part}.tar"
    if archive.is_file():
        return _list_tar(archive)
    if not (folder / part).is_dir():
        raise DatasetError(f"{folder} contains neither {part}.tar nor a folder {part}")
    paths = [folder / f"{part}.csv", *(folder / part).rglob("*")]
    found = {path.relative_to(folder).as_posix(): path for path in paths if path.is_file()}
    return {name: Location(path, name) for name, path in found.items()}


def _list_tar(archive: Path) -> Mapping[str, Location]:
    try:
        length = archive.stat().st_size
        with tarfile.open(archive, "r:") as content:
            members = [member for member in content if member.isreg()]
    except tarfile.TarError as error:
        raise DatasetError(f"{archive} is truncated or not a tar file ({error})") from error
    except OSError as error:
        raise DatasetError(f"{archive} cannot be read: {error.strerror or error}") from error
    truncated = [member.name for member in members if member.offset_data + member.size > length]
    if truncated:
        raise DatasetError(f"{archive} is truncated: it ends in {truncated[0]}, after {length:,} bytes")
    return {
        member.name: Location(archive, f"{archive.name}:{member.name}", member.offset_data, member.size)
        for member in members
    }
