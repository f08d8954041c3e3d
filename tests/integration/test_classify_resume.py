"""`convserve classify` that ends early, and goes on with `--resume`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from service.bulk.outputs.parquet_rows import ParquetRows
from tests.support.bulk.classify_process import classify_process, draw_shades
from tests.support.models.gray_classifier import publish_shades
from tests.support.server.eventually import eventually
from tests.support.server.output_lines import DEADLINE
from tests.support.server.procfs import needs_procfs, wait_for_end, workers
from tests.support.server.server_process import PYTHON_M_SERVICE, ROOT, convserve, environment

COUNT = 300
FED = 200
SUFFIXES = ("csv", "jsonl", "parquet")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    draw_shades(folder, COUNT)
    return folder


@pytest.fixture(scope="module")
def whole(images: Path, shades: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of runs that were not interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    for suffix in SUFFIXES:
        convserve("classify", "--models", shades, images, "-o", folder / f"rows.{suffix}")
    return folder


def same(output: Path, other: Path) -> bool:
    if output.suffix == ".parquet":
        return bool(pq.read_table(output).equals(pq.read_table(other)))
    return output.read_bytes() == other.read_bytes()


def saved(partial: Path) -> int:
    """The number of finished rows."""
    if not partial.exists():
        return 0
    if ".parquet" in partial.name:
        with partial.open("rb") as file:
            return sum(1 for _ in ParquetRows.saved(file))
    return partial.read_bytes().count(b"\n") - (".csv" in partial.name)


def resume(shades: Path, images: Path, output: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return convserve("classify", "--models", shades, *options, images, "-o", output, "--resume")


@needs_procfs
@pytest.mark.parametrize("workers_option", ["1", "2"])
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_rows_outlive_a_killed_run(
    shades: Path, images: Path, whole: Path, tmp_path: Path, suffix: str, workers_option: str
) -> None:
    output = tmp_path / f"rows.{suffix}"
    partial = tmp_path / f"rows.{suffix}.part"
    options = ("--models", shades, "--workers", workers_option, "-o", output)
    with classify_process(*options) as command:
        command.feed(sorted(images.iterdir())[:FED])
        eventually(lambda: saved(partial) >= FED - 16)
        children = workers(command.pid)
        os.kill(command.pid, signal.SIGKILL)  # the command alone
        assert command.end()[0] == -signal.SIGKILL
        for child in children:
            wait_for_end(child)
    assert not output.exists()
    done = saved(partial)
    # A file whose row is kept is not read again.
    moved = sorted(images.iterdir())[:done]
    contents = [path.read_bytes() for path in moved]
    try:
        for path in moved:
            path.write_bytes(b"changed")
        result = resume(shades, images, output)
    finally:
        for path, content in zip(moved, contents, strict=True):
            path.write_bytes(content)
    assert (result.returncode, result.stderr) == (0, "")
    assert same(output, whole / output.name)
    assert os.listdir(tmp_path) == [output.name]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_interrupted_run_tells_how_to_go_on(
    shades: Path, images: Path, whole: Path, tmp_path: Path, suffix: str, number: signal.Signals
) -> None:
    output = tmp_path / f"rows.{suffix}"
    with classify_process("--models", shades, "-o", output, "--workers", "2") as command:
        command.feed(sorted(images.iterdir())[:FED])
        # Most rows of Parquet wait until 4,096 of them can be encoded together, or until the run ends.
        eventually(lambda: saved(Path(f"{output}.part")) >= (16 if suffix == "parquet" else FED - 16))
        command.send(number)
        code, out, err = command.end()
    assert (code, out) == (-number, "")
    kept = saved(Path(f"{output}.part"))
    assert err == (
        f"convserve: kept {kept} rows in {output}.part; run the same command with --resume to go on\n"
    )
    again = convserve("classify", "--models", shades, images, "-o", output)
    assert again.returncode == 2
    assert "has the rows of an interrupted run: add --resume to go on with it" in again.stderr
    assert resume(shades, images, output).returncode == 0
    assert same(output, whole / output.name)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("cut", [1, 40])
def test_incomplete_end_is_done_again(
    shades: Path, images: Path, whole: Path, tmp_path: Path, suffix: str, cut: int
) -> None:
    output = tmp_path / f"rows.{suffix}"
    partial = tmp_path / f"rows.{suffix}.part"
    if suffix == "parquet":
        ParquetRows.reopen(whole / output.name, partial)
    else:
        partial.write_bytes((whole / output.name).read_bytes())
    os.truncate(partial, partial.stat().st_size - cut)
    assert resume(shades, images, output, "--workers", "2").returncode == 0
    assert same(output, whole / output.name)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_complete_output_gets_rows_of_new_files_only(shades: Path, tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"rows.{suffix}"
    folder = tmp_path / "images"
    draw_shades(folder, 20)
    assert resume(shades, folder, output).returncode == 0
    first = output.read_bytes()
    os.chmod(output, 0o640)
    assert resume(shades, folder, output).returncode == 0
    assert output.read_bytes() == first or suffix == "parquet"
    assert output.stat().st_mode & 0o777 == 0o640
    (folder / "00003.png").unlink()
    (folder / "0.png").write_bytes(b"")
    result = resume(shades, folder, output)
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "convserve: kept 1 row of files that are not listed any more",
        "convserve: 1 of 21 images could not be classified; the rows say why, such as "
        f"{folder}/0.png: the image is empty: it has no bytes",
    ]
    again = resume(shades, folder, output)
    assert again.returncode == 1  # the row of the earlier run counts


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--model", "other"],
            "the rows to resume are of shades version 1, and this run uses other version 1",
        ),
        (["--top-k", "2"], "the rows to resume have 1 classes, and this run gives 2: give --top-k 1"),
        (["--format", "json"], "cannot be resumed as json: it is no list of JSON objects"),
        (["--format", "parquet"], "cannot be resumed as parquet: it does not consist of rows"),
    ],
)
def test_rows_of_another_run_are_not_mixed(tmp_path: Path, options: Sequence[str], message: str) -> None:
    models, folder, output = tmp_path / "models", tmp_path / "images", tmp_path / "rows.csv"
    publish_shades(models)
    publish_shades(models, "other")
    draw_shades(folder, 3)
    convserve("classify", "--models", models, "--model", "shades", folder, "-o", output)
    partial = output.rename(tmp_path / "rows.csv.part")
    before = partial.read_bytes()
    (folder / "new.png").symlink_to("00001.png")
    chosen = options if "--model" in options else [*options, "--model", "shades"]
    result = resume(models, folder, output, *chosen)
    assert result.returncode == 2
    assert message in result.stderr.splitlines()[-1]
    assert partial.read_bytes() == before


def test_second_run_does_not_write_the_same_file(shades: Path, images: Path, tmp_path: Path) -> None:
    output = tmp_path / "rows.csv"
    with classify_process("--models", shades, "-o", output, "--workers", "1") as command:
        command.feed(sorted(images.iterdir())[:FED])
        eventually(lambda: saved(tmp_path / "rows.csv.part"))
        for options in ([], ["--resume"]):
            other = convserve("classify", "--models", shades, images, "-o", output, *options)
            assert other.returncode == 2
            assert "another run of this command is writing" in other.stderr
        code, _, err = command.end()
    assert (code, err) == (0, "")
    assert output.read_bytes().count(b"\n") == FED + 1


@pytest.mark.parametrize("workers_option", ["1", "2"])
def test_broken_pipe_ends_the_command_quietly(shades: Path, images: Path, workers_option: str) -> None:
    options = ["--models", str(shades), "--workers", workers_option, str(images)]
    with subprocess.Popen(
        [*PYTHON_M_SERVICE, "classify", *options],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.close()
        assert command.stderr.read() == b""
        assert command.wait(DEADLINE) == -signal.SIGPIPE


def test_full_disk_is_named(shades: Path, images: Path) -> None:
    options = ["--models", str(shades), "--workers", "2", str(images)]
    for output, name in ((["-o", "/dev/full", "--format", "csv"], "/dev/full"), ([], "standard output")):
        with open("/dev/full", "wb") as full:
            result = subprocess.run(
                [*PYTHON_M_SERVICE, "classify", *options, *output],
                cwd=ROOT,
                env=environment(),
                stdout=full,
                stderr=subprocess.PIPE,
                timeout=DEADLINE,
            )
        assert result.returncode == 1
        assert result.stderr.decode() == f"convserve: {name} cannot be written: No space left on device\n"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_before_a_full_disk_are_kept(
    shades: Path, images: Path, whole: Path, tmp_path: Path, suffix: str
) -> None:
    output = tmp_path / f"rows.{suffix}"
    code = (
        "import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000));"
        "runpy.run_module('service', run_name='__main__')"
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
        str(output),
    ]
    result = subprocess.run(
        [*command, "--workers", "1"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert result.returncode == 1
    *kept, failure = result.stderr.splitlines()
    assert failure == f"convserve: {output}.part cannot be written: File too large"
    assert suffix == "parquet" or kept[0].startswith("convserve: kept ")
    assert not output.exists()
    assert resume(shades, images, output).returncode == 0
    assert same(output, whole / output.name)


@pytest.mark.skipif(not Path("/sys/kernel").exists(), reason="no /sys")
def test_place_that_may_not_be_written_is_named_at_once(images: Path) -> None:
    result = convserve(
        "classify", images, "-o", "/sys/rows.csv"
    )  # nobody may create files there, not even root
    assert (result.returncode, result.stdout) == (2, "")
    start = "convserve: /sys/rows.csv cannot be written: "
    reasons = ("Permission denied", "Operation not permitted", "Read-only file system")
    assert result.stderr.removesuffix("\n") in [start + reason for reason in reasons]
