"""Measures `convserve classify` on many small files, beside the decoder and the engine alone.

python -m benchmarks.classify_folder                       100,000 files to Parquet
python -m benchmarks.classify_folder --files 20000 --format csv
python -m benchmarks.classify_folder --mnist DIR           MNIST's test images in place of drawn ones

The limit is a loop in one process for each core that reads no file and writes no row: it decodes images that
are in memory, in batches as large as those of the command, and runs the engine on them. A second run with a
fifth of the files tells how much of the time is that of the command's start and end.
"""

from __future__ import annotations

import argparse
import gzip
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.cases.engine_limit import measure_engine
from benchmarks.cases.inputs import BenchmarkInputs, digits
from benchmarks.host_info import HostInfo
from benchmarks.servers import ROOT
from service.bulk.file_classifier import MAX_CHUNK
from service.system.cpu_quota import available_cores

FILES_PER_FOLDER = 1000
LIMIT_SECONDS = 6.0


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    host = HostInfo.collect()
    print(f"{host.kind}; load {host.load:g}", flush=True)
    model = ROOT / "models" / options.model / options.version
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        images = Path(folder) / "images"
        encoded = _images(options.mnist)
        _write(images, encoded, options.files)
        cores = available_cores()
        inputs = BenchmarkInputs.of(model, encoded[:1024], "small PNGs")
        rates = [_limit(inputs, cores), _limit(inputs, cores)]
        output = Path(folder) / f"rows.{options.format}"
        folders = sorted(images.iterdir())
        part = folders[: len(folders) // 5]
        seconds, part_seconds = (
            min(_classify(options.model, each, output) for _ in range(options.rounds))
            for each in (folders, part)
        )
        rates.append(_limit(inputs, cores))
    further = FILES_PER_FOLDER * (len(folders) - len(part)) / (seconds - part_seconds)
    _report(options, cores, seconds, further, max(rates))
    return 0


def _limit(inputs: BenchmarkInputs, cores: int) -> float:
    """Images a second of decoder and engine."""
    limit = measure_engine(inputs, processes=cores, batch=MAX_CHUNK, seconds=LIMIT_SECONDS)
    return limit.images_per_second


def _classify(model: str, folders: Sequence[Path], output: Path) -> float:
    """The seconds of the whole command, from its start to its end."""
    command = [sys.executable, "-m", "service", "classify", "--model", model, "-o", str(output)]
    started = time.perf_counter()
    subprocess.run([*command, *map(str, folders)], cwd=ROOT, check=True)
    seconds = time.perf_counter() - started
    output.unlink()
    return seconds


def _report(options: argparse.Namespace, cores: int, seconds: float, further: float, limit: float) -> None:
    rate = options.files / seconds
    print(f"decoder and engine alone, {cores} processes: {limit:,.0f} images/s")
    print(f"convserve classify, {options.files:,} files to {options.format}: {seconds:.1f} s")
    print(f"with start and end of the command: {rate:,.0f} images/s, {rate / limit:.2f} of the limit")
    print(f"each further image: {further:,.0f} images/s, {further / limit:.2f} of the limit")


def _images(mnist: Path | None) -> list[bytes]:
    """Encoded images: MNIST's test images, or drawn ones."""
    if mnist is None:
        return digits()
    content = gzip.decompress((mnist / "t10k-images-idx3-ubyte.gz").read_bytes())
    pixels = np.frombuffer(content, np.uint8, offset=16).reshape(-1, 28, 28)
    return [_png(Image.fromarray(each)) for each in pixels]


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _write(folder: Path, encoded: Sequence[bytes], count: int) -> None:
    for start in range(0, count, FILES_PER_FOLDER):
        part = folder / f"{start // FILES_PER_FOLDER:04}"
        part.mkdir(parents=True)
        for number in range(start, min(count, start + FILES_PER_FOLDER)):
            (part / f"{number:07}.png").write_bytes(encoded[number % len(encoded)])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.classify_folder",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--files", type=int, default=100_000, metavar="N", help="files to classify (default: %(default)s)")
    add("--format", choices=("csv", "jsonl", "parquet"), default="parquet", help="(default: %(default)s)")
    add("--model", default="convnet", metavar="NAME", help="a shipped model (default: %(default)s)")
    add("--version", default="1", metavar="VERSION", help="its version (default: %(default)s)")
    add("--mnist", type=Path, metavar="DIR", help="folder of MNIST's files (default: drawn digits)")
    add("--rounds", type=int, default=2, metavar="N", help="runs, of which the best counts (default: 2)")
    add("--folder", type=Path, metavar="DIR", help="where a temporary folder is made (default: the system's)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
