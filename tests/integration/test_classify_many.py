"""`convserve classify` on many files: inputs, formats, workers and errors."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.bulk.classify_process import draw_shades
from tests.support.models.gray_classifier import image, level, publish_shades
from tests.support.models.hostile_versions import edit_manifest
from tests.support.server.output_lines import DEADLINE
from tests.support.server.procfs import needs_procfs
from tests.support.server.server_process import PYTHON_M_SERVICE, ROOT, ServerProcess, convserve, environment

COUNT = 300  # more than are classified in the command's own process


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 images in two folders, and a file that is no image."""
    root = tmp_path_factory.mktemp("images")
    draw_shades(root / "a", COUNT // 2)
    draw_shades(root / "b" / "c", COUNT // 2)
    (root / "README").touch()
    return root


def expected(folder: Path) -> list[tuple[str, str]]:
    """Path and label of each image."""
    paths = sorted(folder.rglob("*.png"))
    return [(str(path), f"shade {int(path.stem) % 10}") for path in paths]


def read_rows(path: Path) -> list[dict[str, object]]:
    if path.suffix == ".parquet":
        rows: list[dict[str, object]] = pq.read_table(path).to_pylist()
        return rows
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("options", [("--workers", "1"), (), ("--workers", "3", "--top-k", "3")])
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_folder_is_classified_in_order(
    shades: Path, folder: Path, tmp_path: Path, suffix: str, options: Sequence[str]
) -> None:
    output = tmp_path / f"rows.{suffix}"
    result = convserve("classify", "--models", shades, *options, folder, "-o", output)
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr.startswith("convserve: skipped 1 file without the suffix of an image format; ")
    rows = read_rows(output)
    assert [(row["path"], row["label"]) for row in rows] == expected(folder)
    assert {(row["model"], row["version"]) for row in rows} == {("shades", "1")}
    assert os.listdir(tmp_path) == [output.name]


def test_server_and_command_give_the_same_rows(
    shades: Path, folder: Path, tmp_path: Path, server: ServerProcess
) -> None:
    (tmp_path / "broken.png").write_bytes(image(level(3))[:50])
    names = [folder / "a", tmp_path / "broken.png", tmp_path / "missing.png"]
    local = convserve("classify", "--models", shades, "--top-k", "3", "--format", "csv", *names)
    remote = convserve("classify", "--url", server.url, "--top-k", "3", "--format", "csv", *names)
    assert (local.returncode, remote.returncode) == (1, 1)
    for mine, other in zip(
        csv.reader(local.stdout.splitlines()), csv.reader(remote.stdout.splitlines()), strict=True
    ):
        assert [mine[0], *mine[3:5], mine[-1]] == [other[0], *other[3:5], other[-1]]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_unreadable_files_have_rows_with_the_reason(shades: Path, tmp_path: Path, workers: str) -> None:
    images = tmp_path / "images"
    draw_shades(images, 40)
    (images / "00003.png").write_bytes(b"")
    (images / "00007.png").write_text("no image")
    (images / "00012.png").write_bytes(image(level(2))[:50])
    (images / "00020.png").unlink()
    (images / "00020.png").symlink_to("nowhere")
    os.mkfifo(images / "00041.png")
    (images / "00042.png").symlink_to("00042.png")
    options: list[str | Path] = ["--models", shades, "--workers", workers, "-o", tmp_path / "rows.csv"]
    result = convserve("classify", *options, images, tmp_path / "none.png", tmp_path / "*.gif")
    assert result.returncode == 1
    assert result.stderr == (
        f"convserve: 8 of 44 images could not be classified; the rows say why, such as {images}/00003.png: "
        "the image is empty: it has no bytes\n"
    )
    rows = read_rows(tmp_path / "rows.csv")
    reasons = {Path(str(row["path"])).name: str(row["error"]) for row in rows if row["error"]}
    assert reasons["00020.png"] == reasons["none.png"] == "No such file or directory"
    assert reasons["00041.png"] == "it is not a regular file"
    assert reasons["00042.png"] == "Too many levels of symbolic links"
    assert reasons["*.gif"] == "no file matches this pattern"
    assert reasons["00012.png"].startswith("the PNG is truncated or corrupt")
    labels = [row["label"] for row in rows]
    assert (labels[2], labels[3], labels[4]) == ("shade 2", "", "shade 4")


def test_image_over_a_limit_is_reported(shades: Path, tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(image(1, side=200))
    result = convserve("classify", "--models", shades, "--max-pixels", "10000", tmp_path / "large.png")
    assert (result.returncode, result.stdout) == (1, "")
    assert "large.png: the image has 200x200 pixels; at most 10,000 are decoded" in result.stderr
    result = convserve("classify", "--models", shades, "--max-decode-bytes", "100", tmp_path / "large.png")
    assert "large.png: it is larger than 100 bytes" in result.stderr


def test_names_of_any_bytes_are_classified(shades: Path, tmp_path: Path) -> None:
    names = [b"caf\xc3\xa9.png", b"latin \xe9.png", b"line\nbreak.png", b"\x1b[2J.png"]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(image(level(4)))
    lines = convserve("classify", "--models", shades, tmp_path, "--workers", "2").stdout.splitlines()
    assert [line.removeprefix(f"{tmp_path}/") for line in lines] == [
        f"{name}: shade 4 ({lines[0].rpartition('(')[2]}"
        for name in (r"\x1b[2J.png", "caf\u00e9.png", r"latin \xe9.png", r"line\nbreak.png")
    ]
    listed = subprocess.run(
        [*PYTHON_M_SERVICE, "classify", "--models", shades, "-0", "-", "-o", tmp_path / "rows.jsonl"],
        input=b"".join(os.fsencode(tmp_path) + b"/" + name + b"\0" for name in names),
        cwd=ROOT,
        env=environment(),
        timeout=DEADLINE,
        check=True,
    )
    assert listed.returncode == 0
    rows = read_rows(tmp_path / "rows.jsonl")
    assert [row["label"] for row in rows] == ["shade 4"] * len(names)
    assert str(rows[2]["path"]).endswith("line\nbreak.png")


def test_empty_folder_gives_an_output_without_rows(shades: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for suffix in ("csv", "jsonl", "parquet"):
        output = tmp_path / f"rows.{suffix}"
        result = convserve("classify", "--models", shades, tmp_path / "empty", "-o", output)
        assert (result.returncode, result.stdout) == (0, "")
        assert result.stderr == f"convserve: {tmp_path}/empty contains no images\n"
        assert read_rows(output) == []


def test_only_the_model_that_is_needed_is_loaded(tmp_path: Path) -> None:
    models = tmp_path / "models"
    for name in ("shades", "other"):
        publish_shades(models, name)
    publish_shades(models)
    edit_manifest(models / "other" / "1", labels=[])
    (tmp_path / "one.png").write_bytes(image(level(1)))
    result = convserve("classify", "--models", models, "--model", "shades", "--json", tmp_path / "one.png")
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["version"] == "2"


def test_workers_report_once_why_a_version_cannot_be_loaded(tmp_path: Path) -> None:
    models = tmp_path / "models"
    publish_shades(models)
    edit_manifest(publish_shades(models), labels=[])
    draw_shades(tmp_path / "images", 5)
    options: list[str | Path] = ["--models", models, "--workers", "3", "--json"]
    result = convserve("classify", *options, tmp_path / "images")
    assert result.returncode == 0
    assert result.stderr.count("shades version 2 is not served: ") == 1
    assert {json.loads(line)["version"] for line in result.stdout.splitlines()} == {"1"}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_errors_of_the_model_have_their_exit_code(shades: Path, tmp_path: Path, workers: str) -> None:
    draw_shades(tmp_path, 3)
    asked: list[str | Path] = ["--workers", workers, "-o", tmp_path / "rows.csv", tmp_path]
    unknown = convserve("classify", "--models", shades, "--model", "hues", *asked)
    assert (unknown.returncode, unknown.stderr) == (
        1,
        "convserve: no model 'hues' is served; available: shades\n",
    )
    empty = convserve("classify", "--models", tmp_path, *asked)
    assert empty.returncode == 3
    assert "nothing to serve" in empty.stderr
    default = convserve("classify", "--models", shades, "--default-model", "hues", *asked)
    assert default.returncode == 2
    assert not list(tmp_path.glob("rows*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume"], "--resume needs -o FILE"),
        (["--resume", "-o", "x.txt"], "--resume needs --format json, csv or parquet"),
        (["--format", "parquet"], "--format parquet needs -o FILE"),
        (["--format", "parquet", "-o", "/dev/null"], "--format parquet needs -o FILE, a regular file"),
        (["--resume", "-o", "/dev/null", "--json"], "--resume needs a regular file"),
        (["-o", "x.xlsx"], "the suffix of x.xlsx is of no format"),
        (["-o", "nowhere/x.csv"], "nowhere/x.csv cannot be written: No such file or directory"),
        (["-o", "tests", "--json"], "tests is a folder"),
        (["--null"], "--null needs the argument -"),
        (["--model-version", "1"], "--model-version needs --model"),
        (["--url", "http://127.0.0.1:1", "--workers", "2"], "--workers are processes of this command"),
    ],
)
def test_options_that_cannot_be_followed_are_usage_errors(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "one.png").write_bytes(image(level(1)))
    result = convserve("classify", *arguments, tmp_path / "one.png")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"convserve: {message}")
    assert result.stderr.count("\n") == 1


def test_missing_pyarrow_names_the_extra(tmp_path: Path) -> None:
    (tmp_path / "pyarrow.py").write_text("raise ImportError('not here')")
    own = {"PYTHONPATH": str(tmp_path)}
    result = convserve("classify", "-o", tmp_path / "x.parquet", "one.png", own=own)
    assert result.returncode == 2
    assert "pip install 'convserve[parquet]'" in result.stderr


@needs_procfs
@pytest.mark.measures
def test_memory_does_not_grow_with_the_number_of_files(shades: Path, tmp_path: Path) -> None:
    def peak(count: int) -> int:
        images = tmp_path / f"{count} images"
        draw_shades(images, count)
        code = (
            "import sys; from service.cli.main import main; code = main(sys.argv[1:]);"
            "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')))"
        )
        command = [
            sys.executable,
            "-c",
            code,
            "classify",
            "--models",
            str(shades),
            str(images),
            "-o",
            str(tmp_path / "x.csv"),
        ]
        run = subprocess.run(
            command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120
        )
        assert run.stdout.startswith("VmHWM"), run.stderr
        return int(run.stdout.split()[1]) * 1024

    assert peak(20_000) - peak(500) < 15_000_000
