"""Versions that are copied slowly, moved, linked and interrupted are never served half."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lifecycle.conftest import SOON, change, reasons, rename_version, until_served, versions
from tests.support.http.client import get
from tests.support.models.file_records import downgrade
from tests.support.models.gray_classifier import publish_shades
from tests.support.models.hostile_versions import edit_manifest
from tests.support.server.eventually import eventually
from tests.support.server.metrics_page import MetricsPage
from tests.support.server.server_process import ServerProcess

PIECES = 4


@pytest.fixture
def incoming(tmp_path: Path) -> Path:
    """Version 2, beside the repository."""
    version = publish_shades(tmp_path / "incoming")
    rename_version(version, "2")
    return version


def by_name(source: Path, target: Path, *, reverse: bool = False, last: str | None = None) -> Iterator[None]:
    """Copies the files in pieces, with a step of the test after each."""
    target.mkdir()
    names = sorted((path.name for path in source.iterdir()), reverse=reverse)
    if last is not None:
        names = [name for name in names if name != last] + [last]
    for name in names:
        content = (source / name).read_bytes()
        with (target / name).open("wb") as file:
            for piece in range(PIECES):
                end = len(content) * (piece + 1) // PIECES
                file.write(content[file.tell() : end])
                file.flush()
                yield


def rsync(source: Path, target: Path) -> Iterator[None]:
    """Writes each file under a hidden name, and renames it."""
    target.mkdir()
    for path in sorted(source.iterdir()):
        hidden = target / f".{path.name}.XyZ"
        for _ in range(PIECES):
            hidden.write_bytes(path.read_bytes())
            yield
        hidden.rename(target / path.name)
        yield


def unpack(source: Path, target: Path) -> Iterator[None]:
    archive = source.parent / "version.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(source, arcname=target.name)
    with tarfile.open(archive) as tar:
        for member in tar:
            tar.extract(member, target.parent, filter="data")
            yield


WAYS: dict[str, Callable[[Path, Path], Iterator[None]]] = {
    "cp": lambda source, target: by_name(source, target),
    "reverse": lambda source, target: by_name(source, target, reverse=True),
    "manifest-last": lambda source, target: by_name(source, target, last="manifest.json"),
    "graph-last": lambda source, target: by_name(source, target, last="model.onnx"),
    "rsync": rsync,
    "tar": unpack,
}


def is_copied(source: Path, target: Path) -> bool:
    return all((target / path.name).read_bytes() == path.read_bytes() for path in source.iterdir())


@pytest.mark.parametrize("way", WAYS)
def test_copied_version_is_served_once_it_is_complete(repository: Path, incoming: Path, way: str) -> None:
    with ServerProcess(repository, *SOON) as server:
        for _ in WAYS[way](incoming, repository / "shades/2"):
            assert (
                set(versions(server, 3)) == {"1"} or (repository / "shades/2/model.onnx").stat().st_size > 400
            )
        until_served(server, "2")
        assert not reasons(server)


@pytest.mark.parametrize("way", ["cp", "manifest-last"])
def test_interrupted_copy_is_not_served_and_a_complete_one_is(
    repository: Path, incoming: Path, way: str
) -> None:
    with ServerProcess(repository, *SOON) as server:
        copy = WAYS[way](incoming, repository / "shades/2")
        for _ in range(PIECES + 2):
            next(copy)
        eventually(lambda: list(reasons(server)))
        assert set(versions(server)) == {"1"}
        for _ in copy:
            pass
        until_served(server, "2")
        eventually(lambda: not reasons(server))


def test_version_of_format_1_is_served_when_it_no_longer_changes(repository: Path, incoming: Path) -> None:
    downgrade(incoming)
    with ServerProcess(repository, *SOON) as server:
        for _ in by_name(incoming, repository / "shades/2", last="golden.npz"):
            assert set(versions(server, 3)) <= {"1"}
        until_served(server, "2")


def test_link_of_git_sync_is_followed(tmp_path: Path, repository: Path, incoming: Path) -> None:
    second = shutil.copytree(repository, tmp_path / "second")
    shutil.copytree(incoming, second / "shades/2")
    link = tmp_path / "link"
    link.symlink_to(repository.name)
    with ServerProcess(link, *SOON) as server:
        (tmp_path / "new").symlink_to("second")
        (tmp_path / "new").rename(link)
        shutil.rmtree(repository)
        until_served(server, "2")
        assert server.stderr.text == ""


def loads(server: ServerProcess) -> float:
    return MetricsPage.scrape(server.url).total("convserve_model_changes_total", change="loaded")


def test_touched_and_equal_files_change_nothing(repository: Path) -> None:
    with ServerProcess(repository, *SOON) as server:
        before = loads(server)
        for path in (repository / "shades/1").iterdir():
            content = path.read_bytes()
            path.unlink()
            path.write_bytes(content)
        (repository / "shades/config.toml").write_text('versions = "all"')
        publish_shades(repository)
        eventually(lambda: len(get(f"{server.url}/models/shades").json["versions"]) == 2)
        assert loads(server) == before + 1
        assert not reasons(server)


def test_other_files_under_a_served_number_are_refused(repository: Path, incoming: Path) -> None:
    rename_version(incoming, "1")
    edit_manifest(incoming, description="Another.")
    with ServerProcess(repository, *SOON) as server:
        shutil.copytree(incoming, repository / "shades/1", dirs_exist_ok=True)
        [reason] = eventually(lambda: list(reasons(server)))
        assert "publish them under another version" in reason
        assert set(versions(server)) == {"1"}
        assert change(server, "load").status == 500


def test_storage_that_vanishes_and_returns(repository: Path, tmp_path: Path) -> None:
    with ServerProcess(repository, *SOON, "--workers", "2") as server:
        repository.rename(tmp_path / "away")
        server.stderr.wait_for("cannot be read: No such file or directory; what is loaded is still served")
        assert set(versions(server)) == {"1"}
        publish_shades(tmp_path / "away")
        (tmp_path / "away").rename(repository)
        until_served(server, "2")
        shutil.rmtree(repository / "shades")
        server.stderr.wait_for("its folder has vanished")
        assert set(versions(server)) == {"2"}


def test_last_version_is_unloaded_if_that_is_allowed(repository: Path) -> None:
    publish_shades(repository, "other")
    with ServerProcess(repository, *SOON, "--allow-empty") as server:
        shutil.rmtree(repository / "shades")
        until_served(server, "404")
        assert set(versions(server, model="other")) == {"1"}


def test_removed_version_gives_way_to_the_one_below(repository: Path) -> None:
    publish_shades(repository)
    with ServerProcess(repository, *SOON) as server:
        assert set(versions(server)) == {"2"}
        shutil.rmtree(repository / "shades/2")
        eventually(lambda: set(versions(server, 5)) - {"2"})
        assert set(versions(server)) == {"1"}
