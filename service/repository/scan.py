"""Looks at a model repository on disk, cheaply enough to be repeated every few seconds."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigurationError, InvalidModel
from ..system.printable import printable
from .manifest import Manifest
from .model_config import CONFIG_FILE, DEFAULT_CONFIG, ModelConfig, read_config
from .version_folder import VersionFolder

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
VERSION = re.compile(r"[1-9][0-9]{0,17}")
# The version of a model whose folder cannot be read.
UNKNOWN = "?"
MAX_ENTRIES = 10_000
# In a repository of more versions, a look compares the files of only a part of them; the folders, of all.
FEW_VERSIONS = 250
PARTS = 4
# A folder that has changed so recently can change again without another modification time.
RACY_NS = 2_000_000_000

# Inode, size, and the times of the last modification and of the last change of the inode.
Mark = tuple[int, int, int, int]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VersionFound:
    """A version on disk.

    Attributes:
        path: its folder.
        signature: changes whenever a file is written, replaced or touched.
        settled: nothing writes to it any more, as far as one can see.
        refused: the reason why it must not be loaded.
    """

    version: str
    path: str
    signature: str
    settled: bool
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class ModelFound:
    """A model on disk.

    Attributes:
        versions: in ascending order.
        config: the default if there is no configuration, or if it is not valid.
        config_error: the reason why the configuration is not valid.
        error: the reason why the folder cannot be read.
    """

    name: str
    versions: tuple[VersionFound, ...] = ()
    config: ModelConfig = DEFAULT_CONFIG
    config_error: str | None = None
    error: str | None = None


@dataclass(slots=True)
class _Folder:
    """A folder whose entries are read again only when it changes.

    Attributes:
        entries: the sorted names in it, without hidden ones.
        paths: the path of each entry.
        children: those of the names that are models, or versions.
    """

    mark: Mark
    entries: Sequence[str]
    paths: Sequence[str]
    children: Sequence[str]
    racy: bool


@dataclass(slots=True)
class _Version:
    """
    Attributes:
        folder: its folder; None if it cannot be read.
        part: of the repository, whose files are compared together.
    """

    folder: _Folder | None
    marks: object
    part: int
    found: VersionFound


class RepositoryScan:
    """Finds the models of a repository again and again.

    Each look compares the marks of folders and files; it reads only files that have changed. Symbolic links
    are followed, because Kubernetes and git-sync publish by replacing one, but not out of the repository.

    Entries that cannot be a model or a version are skipped. A folder among them gets a line in the log.
    """

    def __init__(self, repository: Path) -> None:
        self._repository = str(repository)
        self._folders: dict[str, _Folder] = {}
        self._versions: dict[str, _Version] = {}
        self._configs: dict[str, tuple[Mark | None, ModelConfig, str | None]] = {}
        self._skipped: set[str] = set()
        self._looks = 0

    def models(
        self, *, trust: bool = False, watched: Collection[tuple[str, str]] = ()
    ) -> Mapping[str, ModelFound]:
        """Every model by name, in order.

        Args:
            watched: models and versions whose files are compared at each look, also in a large repository.
            trust: take what lies there for complete, as when the server starts.

        Raises:
            ConfigurationError: the repository is not a readable folder.
        """
        try:
            root = os.path.realpath(self._repository)
            names = self._folder(self._repository, NAME).children
        except OSError as error:
            raise ConfigurationError(
                f"the model repository {self._repository} cannot be read: {error.strerror}"
            ) from error
        self._looks += 1
        found = {}
        for name in names:
            model = self._model(root, name, trust=trust, watched=watched)
            if model is not None:
                found[name] = model
        self._forget(found.values())
        return found

    def model(self, name: str) -> ModelFound | None:
        """A model that is complete, because somebody says so; None if there is none of this name.

        Raises:
            ConfigurationError: the repository is not a readable folder.
        """
        if not NAME.fullmatch(name):
            return None
        try:
            if name not in self._folder(self._repository, NAME).children:
                return None
        except OSError as error:
            raise ConfigurationError(
                f"the model repository {self._repository} cannot be read: {error.strerror}"
            ) from error
        return self._model(os.path.realpath(self._repository), name, trust=True)

    def _model(
        self, root: str, name: str, *, trust: bool, watched: Collection[tuple[str, str]] | None = None
    ) -> ModelFound | None:
        path = f"{self._repository}/{name}"
        try:
            folder = self._folder(path, VERSION)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            reason = f"its folder cannot be read: {error.strerror}"
            return ModelFound(name, error=reason)
        config, config_error = DEFAULT_CONFIG, None
        if CONFIG_FILE in folder.entries:
            config, config_error = self._config(path)
        versions = (
            self._version(root, name, number, trust=trust, watched=watched) for number in folder.children
        )
        kept = tuple(version for version in versions if version is not None)
        if not kept and CONFIG_FILE not in folder.entries:
            return None
        return ModelFound(name, kept, config, config_error)

    def _config(self, path: str) -> tuple[ModelConfig, str | None]:
        mark = _mark(f"{path}/{CONFIG_FILE}")
        cached = self._configs.get(path)
        if cached is None or cached[0] != mark:
            try:
                cached = (mark, read_config(Path(path)), None)
            except InvalidModel as error:
                cached = (mark, DEFAULT_CONFIG, str(error))
            self._configs[path] = cached
        return cached[1], cached[2]

    def _version(
        self,
        root: str,
        name: str,
        number: str,
        *,
        trust: bool,
        watched: Collection[tuple[str, str]] | None,
    ) -> VersionFound | None:
        path = f"{self._repository}/{name}/{number}"
        cached = self._versions.get(path)
        marks: object
        files: _Folder | None
        try:
            files = self._folder(path, None)
            if cached is not None and cached.folder is files and self._is_quiet(cached, name, watched):
                return cached.found
            marks = files.entries, list(map(_mark, files.paths))
        except NotADirectoryError:
            return None
        except OSError as error:
            files, marks = None, error.strerror
        if cached is not None and cached.marks == marks:
            cached.folder = files
            if not cached.found.settled:  # it has not changed since the last look
                cached.found = _settled(cached.found)
            return cached.found
        folder = VersionFolder(name, number, Path(path))
        complete = trust or _is_complete(folder)
        found = VersionFound(
            number,
            path,
            _signature(marks),
            complete,
            _refused(root, path, () if files is None else files.paths),
        )
        self._versions[path] = _Version(files, marks, len(self._versions) % PARTS, found)
        return found

    def _is_quiet(self, version: _Version, name: str, watched: Collection[tuple[str, str]] | None) -> bool:
        """True if this look may pass over the files of a version whose folder has not changed."""
        if watched is None or not version.found.settled or len(self._versions) <= FEW_VERSIONS:
            return False
        return self._looks % PARTS != version.part and (name, version.found.version) not in watched

    def _folder(self, path: str, children: re.Pattern[str] | None) -> _Folder:
        """A folder with its entries, of which those with certain names are models, or versions."""
        status = os.stat(path)
        mark = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        folder = self._folders.get(path)
        if folder is None or folder.mark != mark or folder.racy:
            entries = _visible(path)
            found = [] if children is None else [entry for entry in entries if children.fullmatch(entry)]
            if children is VERSION:
                found.sort(key=int)
            if children is not None:
                self._skip(path, entries, found)
            racy = time.time_ns() - mark[2] < RACY_NS
            paths = [f"{path}/{entry}" for entry in entries]
            folder = self._folders[path] = _Folder(mark, entries, paths, found, racy)
        return folder

    def _skip(self, path: str, entries: Iterable[str], known: Iterable[str]) -> None:
        """Log the folders, devices and pipes that are not taken for models or versions, each once."""
        for entry in sorted(set(entries).difference(known)):
            skipped = f"{path}/{entry}"
            if skipped in self._skipped or os.path.isfile(skipped):
                continue
            self._skipped.add(skipped)
            logger.warning(
                "%s is skipped: names of models have letters, digits, '.', '_' and '-'; versions are numbers "
                "without leading zeros",
                printable(skipped),
            )

    def _forget(self, models: Iterable[ModelFound]) -> None:
        """Drop what is known of folders that are gone."""
        paths = {version.path for model in models for version in model.versions}
        for path in self._versions.keys() - paths:
            del self._versions[path]
            self._folders.pop(path, None)


def signature_of(path: str) -> str:
    """The signature of a version's folder at this moment."""
    try:
        entries = _visible(path)
        return _signature((entries, [_mark(f"{path}/{entry}") for entry in entries]))
    except OSError as error:
        return _signature(error.strerror)


def _signature(marks: object) -> str:
    return hashlib.blake2b(repr(marks).encode(), digest_size=16).hexdigest()


def _visible(path: str) -> Sequence[str]:
    return sorted(entry for entry in os.listdir(path) if not entry.startswith("."))[:MAX_ENTRIES]


def _settled(found: VersionFound) -> VersionFound:
    return VersionFound(found.version, found.path, found.signature, settled=True, refused=found.refused)


def _mark(path: str) -> Mark | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _is_complete(folder: VersionFolder) -> bool:
    """True if every file of the manifest has its size; the manifest of format 1 does not know the sizes."""
    try:
        manifest = folder.manifest()
    except InvalidModel:
        return False
    return manifest.format > 1 and all(
        _has_size(folder, each.name, each.size, manifest) for each in manifest.files
    )


def _has_size(folder: VersionFolder, name: str, size: int, manifest: Manifest) -> bool:
    mark = _mark(str(folder.path / name))
    return name not in manifest.files_in_use if mark is None else mark[1] == size


def _refused(root: str, path: str, files: Iterable[str]) -> str | None:
    """The reason why a version must not be read: a link leads out of the repository."""
    for each in (path, *filter(os.path.islink, files)):
        target = os.path.realpath(each)
        # Others, such as a link to a device, are refused when they are read.
        if os.path.commonpath([root, target]) != root and (os.path.isfile(target) or os.path.isdir(target)):
            name = each.rpartition("/")[2]
            return f"{name} is a link that leads out of the model repository"
    return None
