"""The shipped ensemble over HTTP, on photographs of GTSRB's test set."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from math import sqrt
from pathlib import Path

import pytest

from tests.support.http.forms import classify
from tests.support.models.shipped import highest_version
from tests.support.server.server_process import ServerProcess

# A sample of the 12,630 images, because all of them would take the ensemble a minute.
STRIDE = 6


@pytest.fixture(scope="module")
def signnet() -> Path:
    """The folder of the ensemble's highest version."""
    return highest_version("signnet")


@pytest.fixture(scope="module")
def signs(real_data: Path) -> tuple[list[bytes], list[int]]:
    """PNG files of GTSRB's test set, and their classes."""
    archive = real_data / "gtsrb" / "test.tar"
    if not archive.exists():
        pytest.skip(f"{archive} is missing")
    with tarfile.open(archive) as tar:
        members = {member.name: member for member in tar}
        (listing,) = (name for name in members if name.endswith(".csv"))
        rows = list(csv.DictReader(io.TextIOWrapper(_file(tar, members[listing]))))[::STRIDE]
        (home,) = {name.removesuffix(rows[0]["path"]) for name in members if name.endswith(rows[0]["path"])}
        images = [_file(tar, members[home + row["path"]]).read() for row in rows]
    return images, [int(row["class_id"]) for row in rows]


def _file(tar: tarfile.TarFile, member: tarfile.TarInfo) -> io.BufferedReader:
    file = tar.extractfile(member)
    assert isinstance(file, io.BufferedReader)
    return file


def test_accuracy_equals_that_of_the_manifest(
    signnet: Path, shipped: ServerProcess, signs: tuple[list[bytes], list[int]]
) -> None:
    images, truth = signs
    given = classify(shipped, "signnet", images)
    accuracy = sum(index == label for index, label in zip(given, truth, strict=True)) / len(truth)
    promised = json.loads((signnet / "manifest.json").read_text())["evaluation"]["accuracy"]
    deviation = sqrt(promised * (1 - promised) / len(truth))
    assert abs(accuracy - promised) < 4 * deviation
