"""Batches that keep their places on a device. But for what is marked, the processor stands in for one: the
same session, values and bindings, in which nothing is recorded."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from service.batching.pending_request import Rows, Scores
from service.engine.cuda_graphs import CudaGraphs, start_cuda, why_no_cuda
from service.engine.session import Engine, choose_provider
from tests.support.models.shipped import highest_version

SIZES = {1, 2, 4, 8, 12}
MOST = 12

needs_cuda = pytest.mark.skipif(why_no_cuda() is not None, reason=f"no CUDA: {why_no_cuda()}")


def graph(name: str) -> Path:
    return highest_version(name) / "model.onnx"


def pictures(count: int, seed: int = 0, shape: tuple[int, ...] = (28, 28, 1)) -> Rows:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


@pytest.fixture(scope="module")
def session() -> Any:
    return onnxruntime.InferenceSession(graph("convnet"), providers=["CPUExecutionProvider"])


@pytest.fixture
def replays(session: Any) -> CudaGraphs:
    return CudaGraphs(session, "pixels", "probabilities", pictures(1, seed=9), [10], SIZES, device="cpu")


def expected(session: Any, rows: Rows) -> Any:
    return np.concatenate([session.run(None, {"pixels": rows[i : i + 1]})[0] for i in range(len(rows))])


@pytest.mark.parametrize("count", range(1, MOST + 1))
def test_a_batch_of_any_size_gets_its_own_answers(session: Any, replays: CudaGraphs, count: int) -> None:
    replays.run(pictures(MOST, seed=1))  # what is left of it must not matter
    rows = pictures(count)
    np.testing.assert_allclose(replays.run(rows), expected(session, rows), atol=1e-6)


@pytest.mark.parametrize("sizes", [(1,), (3,), (8,), (1, 1), (2, 3, 1), (4, 8), (1,) * MOST])
def test_parts_are_put_together_in_their_order(
    session: Any, replays: CudaGraphs, sizes: tuple[int, ...]
) -> None:
    parts = [pictures(size, seed=place) for place, size in enumerate(sizes)]
    rows = replays.gather(parts)
    np.testing.assert_array_equal(rows, np.concatenate(parts))
    np.testing.assert_allclose(replays.run(rows), expected(session, np.concatenate(parts)), atol=1e-6)


def test_a_part_that_is_alone_is_not_copied(replays: CudaGraphs) -> None:
    part = pictures(3)
    assert replays.gather([part]) is part


@pytest.mark.skipif(why_no_cuda() is None, reason="CUDA is there")
def test_a_library_that_cannot_be_loaded_is_a_sentence() -> None:
    told = start_cuda()
    assert told is not None
    assert told.startswith("ONNX Runtime cannot load ")
    assert "\n" not in told


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("name", ["convnet", "lenet5", "signnet"])
def test_a_device_answers_as_the_processor_does(name: str) -> None:
    """Recorded in one thread and replayed there, batches of every size, alone and put together."""
    provider = choose_provider("cuda")
    side, channels = (48, 3) if name == "signnet" else (28, 1)
    shape = (side, side, channels)
    cpu = Engine(graph(name), "probabilities", "cpu", threads=1)
    engine = Engine(graph(name), "probabilities", provider, threads=1)

    def answers(parts: list[Rows]) -> Scores:
        return engine.run(engine.gather(parts))

    with ThreadPoolExecutor(1) as thread:
        thread.submit(engine.warm_up, pictures(1, shape=shape), MOST).result()
        for count in range(1, MOST + 1):
            rows = pictures(count, seed=count, shape=shape)
            parts = [rows[:1], rows[1:]] if count > 1 else [rows]
            np.testing.assert_allclose(thread.submit(answers, parts).result(), cpu.run(rows), atol=1e-4)
        first, second = (pictures(4, seed=seed, shape=shape) for seed in (1, 2))
        kept, _ = (thread.submit(engine.run, rows).result() for rows in (first, second))
        np.testing.assert_allclose(kept, cpu.run(first), atol=1e-4)  # the second run left it alone


@pytest.mark.gpu
@needs_cuda
def test_a_graph_of_any_height_and_width_is_not_recorded() -> None:
    engine = Engine(graph("filters"), "maps", choose_provider("cuda"), threads=1)
    cpu = Engine(graph("filters"), "maps", "cpu", threads=1)
    engine.warm_up(pictures(1, shape=(32, 48, 1)), 1)
    for shape in ((32, 48, 1), (7, 5, 1), (200, 100, 1)):
        rows = pictures(1, shape=shape)
        np.testing.assert_allclose(engine.run(rows), cpu.run(rows), atol=1e-3)
