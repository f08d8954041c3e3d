"""The engine's own limit: decode and ONNX Runtime in one or more processes, without a server."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases.inputs import MAX_PIXELS, Material
from service.imaging.decoder import Decoder
from service.repository.manifest import InputSpec

WARM_UP_RUNS = 3


@dataclass(frozen=True, slots=True)
class Limit:
    """Pictures a second of all processes together; CPU seconds for 1,000 of them; milliseconds a picture."""

    images_per_second: float
    cpu: float
    milliseconds: float


def limit(
    material: Material, *, processes: int, batch: int, seconds: float, decode: bool = True, cuda: bool = False
) -> Limit:
    """On one thread a process.

    Args:
        decode: whether pictures are decoded each time, or once before.
        cuda: whether the graph runs on the device, with the server's precision.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        jobs = [
            pool.submit(_work, material.folder, material.files, batch, seconds, decode, cuda)
            for _ in range(processes)
        ]
        parts = [job.result() for job in jobs]
    rate = sum(images / wall for images, wall, _ in parts)
    cpu = sum(spent for _, _, spent in parts) / sum(images for images, _, _ in parts) * 1000
    return Limit(rate, cpu, 1000 * processes / rate)


def _work(
    folder: Path, files: Sequence[bytes], batch: int, seconds: float, decode: bool, cuda: bool
) -> tuple[int, float, float]:
    """Pictures, wall seconds, CPU seconds; in a process of its own, with the decoder that the server has."""
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
    ready = [np.stack([decoder.decode(decoder.open(file)) for file in group]) for group in groups]

    def step(turn: int) -> None:
        index = turn % len(groups)
        rows = ready[index]
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
