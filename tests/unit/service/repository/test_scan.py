from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from service.errors import ConfigurationError
from service.repository.scan import RepositoryScan, VersionFound, signature_of
from tests.support.models.file_records import downgrade
from tests.support.models.gray_classifier import publish_shades

PUBLISHED = ("example.png", "golden.npz", "manifest.json", "model.onnx")


def versions(models: Path, name: str = "shades") -> dict[str, VersionFound]:
    return {each.version: each for each in RepositoryScan(models).models()[name].versions}


def only(scan: RepositoryScan) -> VersionFound:
    [version] = scan.models()["shades"].versions
    return version


@contextmanager
def without_root_permissions() -> Iterator[None]:
    """Act as the user nobody if this is root, who may read everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_versions_are_found_by_name_and_number(tmp_path: Path) -> None:
    for name in ("b", "a"):
        for _ in range(11):
            publish_shades(tmp_path, name)
    found = RepositoryScan(tmp_path).models()
    assert list(found) == ["a", "b"]
    for model in found.values():
        assert [each.version for each in model.versions] == [str(number) for number in range(1, 12)]
        assert all(each.settled and each.refused is None for each in model.versions)


@pytest.mark.parametrize("name", ["v3", "01", "0", "-1", "latest", "3.swp", "1e3", "٣", "1" * 19])
def test_folder_that_is_no_version_is_skipped_with_one_line(
    repository: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(repository / "shades/1", repository / "shades" / name)
    scan = RepositoryScan(repository)
    assert only(scan).version == only(scan).version == "1"
    [record] = caplog.records
    assert "is skipped" in record.message


def test_pipe_and_broken_link_are_no_versions(repository: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(repository / "shades/2")
    (repository / "shades/3").symlink_to("nowhere")
    assert [each for each in versions(repository) if each != "3"] == ["1"]
    assert caplog.records == []


def test_hidden_entries_and_files_are_skipped_silently(
    repository: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (".incoming-1", "shades/.3.swp", "shades/..2026"):
        (repository / name).mkdir()
    (repository / "README.md").write_text("not a model")
    (repository / "shades/notes.txt").write_text("not a version")
    assert list(RepositoryScan(repository).models()) == ["shades"]
    assert list(versions(repository)) == ["1"]
    assert caplog.records == []


def test_folder_with_another_name_is_no_model(repository: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copytree(repository / "shades", repository / "ä\nb")
    with caplog.at_level(logging.WARNING):
        assert list(RepositoryScan(repository).models()) == ["shades"]
    assert r"ä\nb is skipped" in caplog.text


def test_missing_repository_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere cannot be read: No such file"):
        RepositoryScan(tmp_path / "nowhere").models()


def test_unreadable_model_does_not_hide_others() -> None:
    with TemporaryDirectory() as folder:
        repository = Path(folder)
        repository.chmod(0o755)
        for name in ("a", "closed", "z"):
            publish_shades(repository, name)
        (repository / "closed").chmod(0)
        try:
            with without_root_permissions():
                found = RepositoryScan(repository).models()
        finally:
            (repository / "closed").chmod(0o755)
    assert [(name, len(model.versions)) for name, model in found.items()] == [
        ("a", 1),
        ("closed", 0),
        ("z", 1),
    ]
    assert found["closed"].error == "its folder cannot be read: Permission denied"


@pytest.mark.parametrize("last", PUBLISHED)
def test_version_is_settled_once_the_last_file_has_its_size(repository: Path, last: str) -> None:
    source, target = repository / "shades/1", repository / "shades/2"
    edited = (source / "manifest.json").read_text().replace('"version": "1"', '"version": "2"')
    target.mkdir()
    scan = RepositoryScan(repository)
    for name in [*(name for name in PUBLISHED if name != last), last]:
        content = edited.encode() if name == "manifest.json" else (source / name).read_bytes()
        for end in (1, len(content) // 2, len(content)):
            assert not {each.version: each for each in scan.models()["shades"].versions}["2"].settled
            (target / name).write_bytes(content[:end])
    assert {each.version: each for each in scan.models()["shades"].versions}["2"].settled


def test_version_of_format_1_is_settled_when_two_looks_see_the_same(repository: Path) -> None:
    scan = RepositoryScan(repository)
    downgrade(repository / "shades/1")
    assert not only(scan).settled
    with (repository / "shades/1/golden.npz").open("ab") as file:
        file.write(b"more")
    assert not only(scan).settled
    assert only(scan).settled


def test_incomplete_version_is_settled_when_nobody_writes_to_it(repository: Path) -> None:
    (repository / "shades/1/model.onnx").unlink()
    scan = RepositoryScan(repository)
    assert [only(scan).settled for _ in range(2)] == [False, True]


def test_what_lies_there_is_trusted_at_the_start(repository: Path) -> None:
    downgrade(repository / "shades/1")
    [version] = RepositoryScan(repository).models(trust=True)["shades"].versions
    assert version.settled


@pytest.mark.parametrize("name", PUBLISHED)
def test_signature_changes_with_every_write(repository: Path, name: str) -> None:
    scan = RepositoryScan(repository)
    before = only(scan).signature
    assert before == only(scan).signature == signature_of(str(repository / "shades/1"))
    path = repository / "shades/1" / name
    status = path.stat()
    path.write_bytes(bytes(status.st_size))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as `cp --preserve` does
    assert before != only(scan).signature == signature_of(str(repository / "shades/1"))


def test_new_file_is_seen_in_the_clock_tick_of_the_last_look(repository: Path) -> None:
    scan = RepositoryScan(repository)
    for number in range(50):
        before = only(scan).signature
        (repository / f"shades/1/{number}.txt").touch()
        assert only(scan).signature != before


def test_links_within_the_repository_are_followed(repository: Path) -> None:
    """Kubernetes mounts a ConfigMap as files that are links through the link `..data`."""
    shades = repository / "shades"
    for number in ("..first", "..second"):
        shutil.copytree(shades / "1", shades / "2" / number)
    (shades / "2/..data").symlink_to("..first")
    for name in PUBLISHED:
        (shades / "2" / name).symlink_to(f"..data/{name}")
    scan = RepositoryScan(repository)
    before = {each.version: each for each in scan.models()["shades"].versions}["2"]
    assert before.refused is None
    (shades / "2/..new").symlink_to("..second")
    (shades / "2/..new").rename(shades / "2/..data")
    after = {each.version: each for each in scan.models()["shades"].versions}["2"]
    assert after.signature != before.signature


def test_repository_may_be_a_link_that_is_replaced(tmp_path: Path, shades: Path) -> None:
    """git-sync publishes each commit in a folder of its own."""
    for name in ("first", "second"):
        shutil.copytree(shades, tmp_path / name)
    link = tmp_path / "link"
    link.symlink_to("first")
    scan = RepositoryScan(link)
    assert only(scan).refused is None
    (tmp_path / "new").symlink_to("second")
    (tmp_path / "new").rename(link)
    shutil.rmtree(tmp_path / "first")
    assert only(scan).refused is None
    assert only(scan).settled


@pytest.mark.parametrize("part", ["shades", "shades/1", "shades/1/model.onnx"])
def test_link_out_of_the_repository_is_refused(repository: Path, tmp_path: Path, part: str) -> None:
    outside = tmp_path / "outside"
    (repository / part).rename(outside)
    (repository / part).symlink_to(outside)
    reason = only(RepositoryScan(repository)).refused
    assert reason is not None
    assert "leads out of the model repository" in reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("versions = 1", "config.toml is not valid: versions"),
        ("version = 1", "config.toml is not valid: version: Extra inputs are not permitted"),
        ("versions = []", "nothing would be served"),
        ("versions = {latest = 0}", "greater than or equal to 1"),
        ("[labels]\n1 = 1", "config.toml is not valid: labels.1"),
        ("[labels]\nstable = '1'", "config.toml is not valid: labels.stable"),
        ("versions", "config.toml is not valid: "),
        ("\udcff", "config.toml is not valid: "),
        ("a = " + "[" * 5000, "config.toml is not valid: "),
        ("#" * 70_000, "config.toml cannot be read: it is larger than 65,536 bytes"),
    ],
)
def test_invalid_configuration_has_a_reason(repository: Path, text: str, reason: str) -> None:
    path = repository / "shades/config.toml"
    path.write_text(text, errors="surrogateescape")
    scan = RepositoryScan(repository)
    assert reason in (scan.models()["shades"].config_error or "")
    path.write_text('versions = "all"')
    model = scan.models()["shades"]
    assert (model.config_error, model.config.versions) == (None, "all")


@pytest.mark.measures
def test_scan_of_a_thousand_models_takes_little_processor_time(tmp_path: Path, shades: Path) -> None:
    for number in range(1000):
        for version in range(1, 4):
            target = tmp_path / f"model-{number}" / str(version)
            target.mkdir(parents=True)
            for name in PUBLISHED:
                os.link(shades / "shades/1" / name, target / name)
    scan = RepositoryScan(tmp_path)
    assert len(scan.models()) == 1000
    for path in tmp_path.rglob("*"):
        if path.is_dir():
            os.utime(path, (0, 0))  # not new any more
    scan.models()
    started = time.process_time()
    scan.models()
    assert time.process_time() - started < 0.05
