"""Batches in fixed buffers. Without the mark `gpu`, a test runs on the CPU: the same session, values and
bindings, without capture."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from service.batching.pending_request import Rows, Scores
from service.engine.cuda_graphs import CudaGraphs, cuda_unavailable_reason, register_cuda_provider
from service.engine.session import Engine, choose_provider
from tests.support.models.shipped import highest_version

SIZES = {1, 2, 4, 8, 12}
MAX_SIZE = 12

needs_cuda = pytest.mark.skipif(
    cuda_unavailable_reason() is not None, reason=f"no CUDA: {cuda_unavailable_reason()}"
)


def graph(name: str) -> Path:
    return highest_version(name) / "model.onnx"


def images(count: int, seed: int = 0, shape: tuple[int, ...] = (28, 28, 1)) -> Rows:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


@pytest.fixture(scope="module")
def session() -> Any:
    return onnxruntime.InferenceSession(graph("convnet"), providers=["CPUExecutionProvider"])


@pytest.fixture
def cuda_graphs(session: Any) -> CudaGraphs:
    return CudaGraphs(session, "pixels", "probabilities", images(1, seed=9), [10], SIZES, device="cpu")


def expected(session: Any, rows: Rows) -> Any:
    return np.concatenate([session.run(None, {"pixels": rows[i : i + 1]})[0] for i in range(len(rows))])


@pytest.mark.parametrize("count", range(1, MAX_SIZE + 1))
def test_batch_of_any_size_returns_its_own_scores(session: Any, cuda_graphs: CudaGraphs, count: int) -> None:
    cuda_graphs.run(images(MAX_SIZE, seed=1))  # leaves other rows in the buffers
    rows = images(count)
    np.testing.assert_allclose(cuda_graphs.run(rows), expected(session, rows), atol=1e-6)


@pytest.mark.parametrize("sizes", [(1,), (3,), (8,), (1, 1), (2, 3, 1), (4, 8), (1,) * MAX_SIZE])
def test_concat_keeps_the_order_of_the_parts(
    session: Any, cuda_graphs: CudaGraphs, sizes: tuple[int, ...]
) -> None:
    parts = [images(size, seed=index) for index, size in enumerate(sizes)]
    rows = cuda_graphs.concat(parts)
    np.testing.assert_array_equal(rows, np.concatenate(parts))
    np.testing.assert_allclose(cuda_graphs.run(rows), expected(session, np.concatenate(parts)), atol=1e-6)


def test_concat_does_not_copy_a_single_part(cuda_graphs: CudaGraphs) -> None:
    part = images(3)
    assert cuda_graphs.concat([part]) is part


@pytest.mark.skipif(cuda_unavailable_reason() is None, reason="this machine has CUDA")
def test_library_that_cannot_be_loaded_gives_a_one_line_reason() -> None:
    reason = register_cuda_provider()
    assert reason is not None
    assert reason.startswith("ONNX Runtime cannot load ")
    assert "\n" not in reason


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("name", ["convnet", "lenet5", "signnet"])
def test_gpu_scores_match_the_cpu(name: str) -> None:
    """Batches of every size, whole and concatenated, captured and replayed in one thread."""
    provider = choose_provider("cuda")
    side, channels = (48, 3) if name == "signnet" else (28, 1)
    shape = (side, side, channels)
    cpu = Engine(graph(name), "probabilities", "cpu", threads=1)
    engine = Engine(graph(name), "probabilities", provider, threads=1)

    def scores(parts: list[Rows]) -> Scores:
        return engine.run(engine.concat(parts))

    with ThreadPoolExecutor(1) as thread:
        thread.submit(engine.warm_up, images(1, shape=shape), MAX_SIZE).result()
        for count in range(1, MAX_SIZE + 1):
            rows = images(count, seed=count, shape=shape)
            parts = [rows[:1], rows[1:]] if count > 1 else [rows]
            np.testing.assert_allclose(thread.submit(scores, parts).result(), cpu.run(rows), atol=1e-4)
        first, second = (images(4, seed=seed, shape=shape) for seed in (1, 2))
        kept, _ = (thread.submit(engine.run, rows).result() for rows in (first, second))
        np.testing.assert_allclose(kept, cpu.run(first), atol=1e-4)  # the second run must not overwrite it


@pytest.mark.gpu
@needs_cuda
def test_graph_with_a_dynamic_input_size_is_not_captured() -> None:
    engine = Engine(graph("filters"), "maps", choose_provider("cuda"), threads=1)
    cpu = Engine(graph("filters"), "maps", "cpu", threads=1)
    engine.warm_up(images(1, shape=(32, 48, 1)), 1)
    for shape in ((32, 48, 1), (7, 5, 1), (200, 100, 1)):
        rows = images(1, shape=shape)
        np.testing.assert_allclose(engine.run(rows), cpu.run(rows), atol=1e-3)
