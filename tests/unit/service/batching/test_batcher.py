"""The batcher with a gated engine: a run ends when the test opens the gate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.batching.batcher import Batcher
from service.batching.pending_request import TIMER_RESOLUTION, RequestResult, Rows, Scores
from service.errors import DeadlineExceeded, InferenceFailed, ModelNotReady
from tests.support.batching.gated_engine import GatedEngine, double, rows

FOREVER = 3600.0


@contextmanager
def failures_logged(caplog: pytest.LogCaptureFixture, count: int) -> Iterator[None]:
    yield
    assert len([record for record in caplog.records if "failed" in record.message]) == count


def started(batcher: Batcher, *values: int) -> asyncio.Task[RequestResult]:
    return asyncio.create_task(batcher.submit(rows(*values)))


async def submit_expected(batcher: Batcher, *values: int) -> RequestResult:
    """Submit rows that were expected."""
    batcher.rows_ready(len(values))
    return await batcher.submit(rows(*values))


async def prepare_and_submit(batcher: Batcher, pause: int, *values: int) -> RequestResult:
    """Expect rows, prepare them for some iterations of the loop, submit them, as images are."""
    batcher.expect_rows(len(values))
    try:
        await iterate(pause)
    finally:
        batcher.rows_ready(len(values))
    return await batcher.submit(rows(*values))


async def iterate(count: int = 5) -> None:
    """Run the event loop for some iterations."""
    for _ in range(count):
        await asyncio.sleep(0)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_single_request_starts_at_once() -> None:
    async def test() -> None:
        batcher = Batcher(double, max_batch_size=8)
        result = await batcher.submit(rows(3))
        assert result.scores.tolist() == [[6]]
        assert result.queue_seconds >= 0
        assert result.compute_seconds > 0

    run(test)


def test_requests_of_one_loop_iteration_share_a_batch() -> None:
    sizes: list[int] = []

    async def test() -> None:
        batcher = Batcher(double, max_batch_size=8, observe=lambda scores, seconds: sizes.append(len(scores)))
        results = await asyncio.gather(*(batcher.submit(rows(value)) for value in range(5)))
        assert [result.scores.item() for result in results] == [0, 2, 4, 6, 8]

    run(test)
    assert sizes == [5]


def test_next_batch_grows_while_the_engine_is_busy(
    gated: tuple[GatedEngine, ThreadPoolExecutor],
) -> None:
    engine, executor = gated

    async def test() -> None:
        batcher = Batcher(engine.run, max_batch_size=8, executor=executor)
        first = started(batcher, 1)
        await iterate()
        others = [started(batcher, value) for value in (2, 3, 4)]
        await iterate()
        engine.gate.set()
        await asyncio.gather(first, *others)

    run(test)
    assert engine.batches == [[1], [2, 3, 4]]


def test_rows_waiting_counts_the_rows_that_no_batch_has_taken(
    gated: tuple[GatedEngine, ThreadPoolExecutor],
) -> None:
    engine, executor = gated

    async def test() -> None:
        batcher = Batcher(engine.run, max_batch_size=2, executor=executor)
        tasks = [started(batcher, 1), started(batcher, 2, 3, 4)]
        await iterate()
        assert batcher.rows_waiting == 2
        engine.gate.set()
        await asyncio.gather(*tasks)
        assert batcher.rows_waiting == 0

    run(test)


def test_only_a_full_batch_starts_with_an_infinite_delay() -> None:
    async def test() -> None:
        batcher = Batcher(double, max_batch_size=3, max_queue_delay=FOREVER)
        waiting = [started(batcher, 1), started(batcher, 2)]
        await iterate()
        assert not any(task.done() for task in waiting)
        third = started(batcher, 3)
        results = await asyncio.gather(*waiting, third)
        assert [result.scores.item() for result in results] == [2, 4, 6]

    run(test)


def test_flush_now_ends_the_delay() -> None:
    async def test() -> None:
        batcher = Batcher(double, max_batch_size=3, max_queue_delay=FOREVER)
        waiting = started(batcher, 1)
        await iterate()
        assert not waiting.done()
        batcher.flush_now()
        assert (await waiting).scores.item() == 2
        assert (await batcher.submit(rows(2))).scores.item() == 4

    run(test)


def test_batch_starts_after_the_delay() -> None:
    async def test() -> None:
        batcher = Batcher(double, max_batch_size=3, max_queue_delay=0.001)
        result = await batcher.submit(rows(1))
        assert result.queue_seconds >= 0.001

    run(test)


def test_batch_waits_for_expected_rows() -> None:
    sizes: list[int] = []

    async def test() -> None:
        batcher = Batcher(
            double,
            max_batch_size=8,
            wait_per_row=FOREVER,
            observe=lambda scores, seconds: sizes.append(len(scores)),
        )
        batcher.expect_rows(1)
        batcher.expect_rows(2)
        first = asyncio.create_task(submit_expected(batcher, 1))
        await iterate()
        assert not first.done()
        second = await submit_expected(batcher, 2, 3)
        assert second.scores.ravel().tolist() == [4, 6]
        assert (await first).scores.item() == 2

    run(test)
    assert sizes == [3]


def test_single_expected_request_starts_at_once() -> None:
    async def test() -> None:
        batcher = Batcher(double, max_batch_size=8, wait_per_row=FOREVER)
        batcher.expect_rows(1)
        await iterate()
        assert (await submit_expected(batcher, 3)).scores.item() == 6

    run(test)


def test_batch_does_not_wait_for_rows_expected_later_or_cancelled() -> None:
    async def test() -> None:
        batcher = Batcher(double, max_batch_size=8, wait_per_row=FOREVER)
        batcher.expect_rows(1)
        batcher.expect_rows(1)
        first = asyncio.create_task(submit_expected(batcher, 1))
        await iterate()
        batcher.expect_rows(1)
        assert not first.done()
        batcher.rows_ready(1)  # its image is invalid
        assert (await first).scores.item() == 2

    run(test)


def test_full_batch_does_not_wait_for_expected_rows() -> None:
    async def test() -> None:
        batcher = Batcher(double, max_batch_size=2, wait_per_row=FOREVER)
        batcher.expect_rows(2)
        first = asyncio.create_task(submit_expected(batcher, 1))
        await iterate()
        assert not first.done()
        assert (await batcher.submit(rows(2))).scores.item() == 4  # unexpected rows fill it too
        await first

    run(test)


def test_wait_for_expected_rows_grows_with_the_rows_that_wait() -> None:
    async def test() -> None:
        batcher = Batcher(double, max_batch_size=8, wait_per_row=0.001)
        batcher.expect_rows(9)
        assert (await submit_expected(batcher, 1)).queue_seconds >= 0.001 - TIMER_RESOLUTION
        assert (await submit_expected(batcher, 1, 2, 3, 4)).queue_seconds >= 0.004 - TIMER_RESOLUTION

    run(test)


def test_batch_does_not_wait_for_expected_rows_without_wait_per_row() -> None:
    async def test() -> None:
        batcher = Batcher(double, max_batch_size=8)
        batcher.expect_rows(2)
        assert (await submit_expected(batcher, 1)).scores.item() == 2

    run(test)


def test_drain_does_not_wait_for_expected_rows() -> None:
    async def test() -> None:
        batcher = Batcher(double, max_batch_size=8, wait_per_row=FOREVER)
        batcher.expect_rows(2)
        waiting = asyncio.create_task(submit_expected(batcher, 1))
        await iterate()
        await batcher.drain()
        assert waiting.result().scores.item() == 2

    run(test)


class TwoRequests:
    """Completes one request while another waits."""

    def __init__(self, gated: tuple[GatedEngine, ThreadPoolExecutor], max_batch_size: int) -> None:
        self._engine, executor = gated
        self.batcher = Batcher(
            self._engine.run, max_batch_size=max_batch_size, wait_per_row=FOREVER, executor=executor
        )

    async def start(self) -> asyncio.Task[RequestResult]:
        """The task of the waiting request."""
        first = started(self.batcher, 1)
        await iterate()
        second = started(self.batcher, 2)
        await iterate()
        self._engine.gate.set()
        await first
        await iterate()
        return second


@pytest.fixture
def infinite_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.batching.batch_window.PAUSE_SHARE", FOREVER**3)


@pytest.mark.usefixtures("infinite_pause")
def test_rows_that_waited_during_a_run_are_held_for_the_next_requests(
    gated: tuple[GatedEngine, ThreadPoolExecutor],
) -> None:
    async def test() -> None:
        requests = TwoRequests(gated, 2)
        second = await requests.start()
        assert not second.done()
        again = await requests.batcher.submit(rows(3))
        assert [(await second).scores.item(), again.scores.item()] == [4, 6]

    run(test)
    assert gated[0].batches == [[1], [2, 3]]


@pytest.mark.usefixtures("infinite_pause")
def test_drain_ends_a_pause(gated: tuple[GatedEngine, ThreadPoolExecutor]) -> None:
    async def test() -> None:
        requests = TwoRequests(gated, 8)
        second = await requests.start()
        assert not second.done()
        await requests.batcher.drain()
        assert second.result().scores.item() == 4

    run(test)


@pytest.mark.usefixtures("infinite_pause")
def test_idle_engine_does_not_pause(gated: tuple[GatedEngine, ThreadPoolExecutor]) -> None:
    engine, executor = gated
    engine.gate.set()

    async def test() -> None:
        batcher = Batcher(engine.run, max_batch_size=8, wait_per_row=FOREVER, executor=executor)
        for value in (1, 2, 3):
            assert (await batcher.submit(rows(value))).scores.item() == 2 * value

    run(test)


def test_batch_starts_after_the_pause(gated: tuple[GatedEngine, ThreadPoolExecutor]) -> None:
    async def test() -> None:
        second = await TwoRequests(gated, 8).start()
        assert (await second).scores.item() == 4

    run(test)
    assert gated[0].batches == [[1], [2]]


def test_long_request_runs_in_several_batches() -> None:
    sizes: list[int] = []

    async def test() -> None:
        batcher = Batcher(double, max_batch_size=4, observe=lambda scores, seconds: sizes.append(len(scores)))
        result = await batcher.submit(rows(*range(11)))
        assert result.scores.ravel().tolist() == [2 * value for value in range(11)]

    run(test)
    assert sizes == [4, 4, 3]


def test_request_cancelled_while_it_waits_is_not_run(
    gated: tuple[GatedEngine, ThreadPoolExecutor],
) -> None:
    engine, executor = gated

    async def test() -> None:
        batcher = Batcher(engine.run, max_batch_size=8, executor=executor)
        first, cancelled_running, neighbour = (started(batcher, value) for value in (1, 2, 3))
        await iterate()
        later, cancelled_waiting = started(batcher, 4), started(batcher, 5)
        await iterate()
        cancelled_running.cancel()
        cancelled_waiting.cancel()
        await iterate()
        engine.gate.set()
        results = await asyncio.gather(first, neighbour, later)
        assert [result.scores.item() for result in results] == [2, 6, 8]
        assert cancelled_running.cancelled()
        assert cancelled_waiting.cancelled()

    run(test)
    assert engine.batches == [[1, 2, 3], [4]]


def test_failing_batch_fails_all_its_requests_and_no_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def sometimes(batch: Rows) -> Scores:
        if 13 in batch:
            raise ValueError("secret detail")
        return double(batch)

    async def test() -> None:
        batcher = Batcher(sometimes, max_batch_size=2)
        outcomes = await asyncio.gather(
            *(batcher.submit(rows(value)) for value in (1, 13, 3, 4)), return_exceptions=True
        )
        assert [isinstance(outcome, InferenceFailed) for outcome in outcomes] == [True, True, False, False]
        assert "secret" not in str(outcomes[0])

    with failures_logged(caplog, 1):
        run(test)


def test_long_request_fails_with_its_second_batch(caplog: pytest.LogCaptureFixture) -> None:
    def second_fails(batch: Rows) -> Scores:
        if 5 in batch:
            raise ValueError
        return double(batch)

    async def test() -> None:
        batcher = Batcher(second_fails, max_batch_size=4)
        long, neighbour = started(batcher, *range(9)), started(batcher, 100)
        with pytest.raises(InferenceFailed):
            await long
        assert (await neighbour).scores.item() == 200

    with failures_logged(caplog, 1):
        run(test)


def test_engine_that_returns_too_few_rows_fails_the_batch(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        batcher = Batcher(lambda batch: double(batch)[1:], max_batch_size=4)
        with pytest.raises(InferenceFailed):
            await batcher.submit(rows(1))

    with failures_logged(caplog, 1):
        run(test)


def test_observer_that_raises_fails_no_request(caplog: pytest.LogCaptureFixture) -> None:
    def broken(scores: Scores, seconds: float) -> None:
        raise RuntimeError

    async def test() -> None:
        batcher = Batcher(double, max_batch_size=4, observe=broken)
        for value in (1, 2):
            assert (await batcher.submit(rows(value))).scores.item() == 2 * value

    with failures_logged(caplog, 2):
        run(test)


def test_shut_down_executor_fails_the_requests(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        executor = ThreadPoolExecutor(1)
        executor.shutdown()
        batcher = Batcher(double, max_batch_size=4, executor=executor)
        with pytest.raises(InferenceFailed):
            await batcher.submit(rows(1))
        await batcher.drain()

    with failures_logged(caplog, 1):
        run(test)


def test_deadline_in_the_past_is_rejected_before_any_work() -> None:
    async def test() -> None:
        batcher = Batcher(
            double, max_batch_size=4, observe=lambda scores, seconds: pytest.fail("the request ran")
        )
        with pytest.raises(DeadlineExceeded):
            await batcher.submit(rows(1), deadline=asyncio.get_running_loop().time())
        await iterate()

    run(test)


def test_request_that_expires_in_the_queue_is_not_run(
    gated: tuple[GatedEngine, ThreadPoolExecutor],
) -> None:
    engine, executor = gated

    async def test() -> None:
        batcher = Batcher(engine.run, max_batch_size=4, executor=executor)
        running = started(batcher, 1)
        await iterate()
        soon = asyncio.get_running_loop().time() + 0.001
        with pytest.raises(DeadlineExceeded):
            await batcher.submit(rows(2), deadline=soon)
        engine.gate.set()
        await running
        await batcher.drain()

    run(test)
    assert engine.batches == [[1]]


def test_drain_completes_all_requests_and_rejects_new_ones(
    gated: tuple[GatedEngine, ThreadPoolExecutor],
) -> None:
    engine, executor = gated

    async def test() -> None:
        batcher = Batcher(engine.run, max_batch_size=2, max_queue_delay=FOREVER, executor=executor)
        admitted = [started(batcher, value) for value in range(7)]
        await iterate()
        draining = asyncio.create_task(batcher.drain())
        await iterate()
        with pytest.raises(ModelNotReady):
            await batcher.submit(rows(9))
        assert not draining.done()
        engine.gate.set()
        await draining
        assert [task.result().scores.item() for task in admitted] == [2 * value for value in range(7)]

    run(test)


def test_drain_of_an_idle_batcher_returns() -> None:
    async def test() -> None:
        await Batcher(double, max_batch_size=2).drain()

    run(test)


REQUEST = st.tuples(
    st.lists(st.integers(0, 255), min_size=1, max_size=9),
    st.sampled_from(["wait", "wait", "wait", "cancel at once", "cancel later"]),
    st.integers(0, 3),
)


@settings(max_examples=150, deadline=None)
@given(
    requests=st.lists(REQUEST, min_size=1, max_size=12),
    max_batch_size=st.integers(1, 8),
    threaded=st.booleans(),
    wait_per_row=st.sampled_from([0.0, 0.001, FOREVER]),
    poison=st.integers(0, 400),
)
def test_each_result_depends_on_its_own_rows_alone(
    requests: list[tuple[list[int], str, int]],
    max_batch_size: int,
    threaded: bool,
    wait_per_row: float,
    poison: int,
) -> None:
    """Random sizes, preparation times, cancellations and failures: each request that is not cancelled gets
    its own rows doubled or the failure of a batch that held them, and none waits forever."""
    failed: list[set[float]] = []

    def engine(batch: Rows) -> Scores:
        if poison in batch:
            failed.append(set(batch.ravel().tolist()))
            raise ValueError
        return double(batch)

    async def test() -> None:
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(
                engine,
                max_batch_size=max_batch_size,
                wait_per_row=wait_per_row,
                executor=executor if threaded else None,
            )
            tasks = []
            for values, behaviour, pause in requests:
                task = asyncio.create_task(prepare_and_submit(batcher, pause, *values))
                tasks.append(task)
                await iterate(pause)
                if behaviour == "cancel at once":
                    task.cancel()
            await iterate(1)
            for task, (_, behaviour, _) in zip(tasks, requests, strict=True):
                if behaviour == "cancel later":
                    task.cancel()
            outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
            await asyncio.wait_for(batcher.drain(), 30)
        for (values, behaviour, _), outcome in zip(requests, outcomes, strict=True):
            if isinstance(outcome, asyncio.CancelledError):
                assert behaviour != "wait"
            elif isinstance(outcome, InferenceFailed):
                assert any(set(values) & batch for batch in failed)
            else:
                assert isinstance(outcome, RequestResult)
                assert outcome.scores.ravel().tolist() == [2 * value for value in values]
                assert poison not in values

    run(test)


def test_rows_of_different_shapes_never_share_a_batch() -> None:
    shapes: list[tuple[int, ...]] = []
    wide, tall = np.ones((1, 2, 3), np.uint8), np.ones((1, 3, 2), np.uint8)
    sent = (wide, wide, tall, wide, tall, tall)

    def engine(batch: Rows) -> Scores:
        shapes.append(batch.shape)
        return double(batch)

    async def test() -> None:
        batcher = Batcher(engine, max_batch_size=8)
        results = await asyncio.gather(*(batcher.submit(each) for each in sent))
        assert [result.scores.shape for result in results] == [each.shape for each in sent]

    run(test)
    assert shapes == [(2, 2, 3), (1, 3, 2), (1, 2, 3), (2, 3, 2)]
