"""Measures the speed of decoder and ONNX Runtime in one or more processes, without a server."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases.inputs import MAX_PIXELS, BenchmarkInputs
from service.imaging.decoder import Decoder
from service.repository.manifest import InputSpec

WARM_UP_RUNS = 3


@dataclass(frozen=True, slots=True)
class EngineLimit:
    """The speed of the engine.

    Attributes:
        images_per_second: of all processes together.
        cpu: CPU seconds per 1,000 images.
        milliseconds: per image, in one process.
    """

    images_per_second: float
    cpu: float
    milliseconds: float


def measure_engine(
    inputs: BenchmarkInputs,
    *,
    processes: int,
    batch: int,
    seconds: float,
    decode: bool = True,
    cuda: bool = False,
) -> EngineLimit:
    """Run the engine with one thread per process.

    Args:
        decode: whether images are decoded in every batch, or once before the measurement.
        cuda: whether the graph runs on a GPU, with the server's precision.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        jobs = [
            pool.submit(_work, inputs.folder, inputs.files, batch, seconds, decode, cuda)
            for _ in range(processes)
        ]
        parts = [job.result() for job in jobs]
    rate = sum(images / wall for images, wall, _ in parts)
    cpu = sum(spent for _, _, spent in parts) / sum(images for images, _, _ in parts) * 1000
    return EngineLimit(rate, cpu, 1000 * processes / rate)


def _work(
    folder: Path, files: Sequence[bytes], batch: int, seconds: float, decode: bool, cuda: bool
) -> tuple[int, float, float]:
    """Run batches with the server's decoder; return images, wall seconds and CPU seconds."""
    import json

    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    manifest = json.loads((folder / "manifest.json").read_text())
    spec = InputSpec.model_validate(manifest["input"])
    providers: list[Any] = ["CPUExecutionProvider"]
    if cuda:
        onnxruntime.preload_dlls()
        providers.insert(0, ("CUDAExecutionProvider", {"use_tf32": "0"}))
    session = onnxruntime.InferenceSession(
        str(folder / manifest["onnx"]["file"]), options, providers=providers
    )
    decoder = Decoder(spec, max_pixels=MAX_PIXELS)
    groups = [[files[(i + j) % len(files)] for j in range(batch)] for i in range(0, len(files), batch)]
    decoded = [np.stack([decoder.decode(decoder.open(file)) for file in group]) for group in groups]

    def step(turn: int) -> None:
        index = turn % len(groups)
        rows = decoded[index]
        if decode:
            rows = np.stack([decoder.decode(decoder.open(file)) for file in groups[index]])
        session.run(None, {spec.name: rows})[0].argmax(axis=1)

    for turn in range(WARM_UP_RUNS):
        step(turn)
    turns, cpu, begin = 0, time.process_time(), time.perf_counter()
    while time.perf_counter() - begin < seconds:
        step(turns)
        turns += 1
    return turns * batch, time.perf_counter() - begin, time.process_time() - cpu
