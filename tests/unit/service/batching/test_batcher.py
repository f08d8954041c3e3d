"""The batcher's promises, on the real batcher. A gate that the test opens stands where time would pass."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.batching.batcher import Batcher
from service.batching.deadlines import TICK
from service.batching.pending_request import Answer, Rows, Scores
from service.errors import DeadlineExceeded, InferenceFailed, ModelNotReady

FOREVER = 3600.0


def rows(*values: int) -> NDArray[np.uint8]:
    return np.array(values, dtype=np.uint8).reshape(-1, 1)


def double(batch: Rows) -> Scores:
    return batch.astype(np.float32) * 2


class GatedEngine:
    """Runs in a thread, and not before the gate is opened."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.batches: list[list[float]] = []

    def run(self, batch: Rows) -> Scores:
        assert self.gate.wait(timeout=30)
        self.batches.append(batch.ravel().tolist())
        return double(batch)


@pytest.fixture
def gated() -> Iterator[tuple[GatedEngine, ThreadPoolExecutor]]:
    engine = GatedEngine()
    with ThreadPoolExecutor(1) as executor:
        yield engine, executor
        engine.gate.set()


@contextmanager
def failures_logged(caplog: pytest.LogCaptureFixture, count: int) -> Iterator[None]:
    yield
    assert len([record for record in caplog.records if "failed" in record.message]) == count


def started(batcher: Batcher, *values: int) -> asyncio.Task[Answer]:
    return asyncio.create_task(batcher.submit(rows(*values)))


async def brought(batcher: Batcher, *values: int) -> Answer:
    """Of rows that were announced: here they are."""
    batcher.rows_ready(len(values))
    return await batcher.submit(rows(*values))


async def made_ready(batcher: Batcher, pause: int, *values: int) -> Answer:
    """As pictures are: announced, decoded for some turns, submitted."""
    batcher.expect_rows(len(values))
    try:
        await turns(pause)
    finally:
        batcher.rows_ready(len(values))
    return await batcher.submit(rows(*values))


async def turns(count: int = 5) -> None:
    """Let everything that is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_a_lone_request_leaves_at_once() -> None:
    async def test() -> None:
        batcher = Batcher(double, max_batch_size=8)
        answer = await batcher.submit(rows(3))
        assert answer.scores.tolist() == [[6]]
        assert answer.queue_seconds >= 0
        assert answer.compute_seconds > 0

    run(test)


def test_requests_of_one_turn_share_a_run() -> None:
    sizes: list[int] = []

    async def test() -> None:
        batcher = Batcher(double, max_batch_size=8, observe=lambda scores, seconds: sizes.append(len(scores)))
        answers = await asyncio.gather(*(batcher.submit(rows(value)) for value in range(5)))
        assert [answer.scores.item() for answer in answers] == [0, 2, 4, 6, 8]

    run(test)
    assert sizes == [5]


def test_the_next_batch_grows_while_the_engine_is_busy(
    gated: tuple[GatedEngine, ThreadPoolExecutor],
) -> None:
    engine, executor = gated

    async def test() -> None:
        batcher = Batcher(engine.run, max_batch_size=8, executor=executor)
        first = started(batcher, 1)
        await turns()
        others = [started(batcher, value) for value in (2, 3, 4)]
        await turns()
        engine.gate.set()
        await asyncio.gather(first, *others)

    run(test)
    assert engine.batches == [[1], [2, 3, 4]]


def test_with_endless_delay_only_size_releases_a_batch() -> None:
    async def test() -> None:
        batcher = Batcher(double, max_batch_size=3, max_queue_delay=FOREVER)
        waiting = [started(batcher, 1), started(batcher, 2)]
        await turns()
        assert not any(task.done() for task in waiting)
        third = started(batcher, 3)
        answers = await asyncio.gather(*waiting, third)
        assert [answer.scores.item() for answer in answers] == [2, 4, 6]

    run(test)


def test_hurry_ends_an_endless_delay() -> None:
    async def test() -> None:
        batcher = Batcher(double, max_batch_size=3, max_queue_delay=FOREVER)
        waiting = started(batcher, 1)
        await turns()
        assert not waiting.done()
        batcher.flush_now()
        assert (await waiting).scores.item() == 2
        assert (await batcher.submit(rows(2))).scores.item() == 4

    run(test)


def test_a_delay_ends_by_itself() -> None:
    async def test() -> None:
        batcher = Batcher(double, max_batch_size=3, max_queue_delay=0.001)
        answer = await batcher.submit(rows(1))
        assert answer.queue_seconds >= 0.001

    run(test)


def test_a_batch_waits_for_rows_that_were_announced() -> None:
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
        first = asyncio.create_task(brought(batcher, 1))
        await turns()
        assert not first.done()
        second = await brought(batcher, 2, 3)
        assert second.scores.ravel().tolist() == [4, 6]
        assert (await first).scores.item() == 2

    run(test)
    assert sizes == [3]


def test_a_lone_announced_request_leaves_at_once() -> None:
    async def test() -> None:
        batcher = Batcher(double, max_batch_size=8, wait_per_row=FOREVER)
        batcher.expect_rows(1)
        await turns()
        assert (await brought(batcher, 3)).scores.item() == 6

    run(test)


def test_a_batch_waits_for_nobody_who_is_announced_later_or_gives_up() -> None:
    async def test() -> None:
        batcher = Batcher(double, max_batch_size=8, wait_per_row=FOREVER)
        batcher.expect_rows(1)
        batcher.expect_rows(1)
        first = asyncio.create_task(brought(batcher, 1))
        await turns()
        batcher.expect_rows(1)
        assert not first.done()
        batcher.rows_ready(1)  # and was no picture
        assert (await first).scores.item() == 2

    run(test)


def test_a_batch_that_is_full_waits_for_nobody() -> None:
    async def test() -> None:
        batcher = Batcher(double, max_batch_size=2, wait_per_row=FOREVER)
        batcher.expect_rows(2)
        first = asyncio.create_task(brought(batcher, 1))
        await turns()
        assert not first.done()
        assert (await batcher.submit(rows(2))).scores.item() == 4  # who was not announced fills it as well
        await first

    run(test)


def test_patience_ends_by_itself_and_lasts_longer_for_more_rows() -> None:
    async def test() -> None:
        batcher = Batcher(double, max_batch_size=8, wait_per_row=0.001)
        batcher.expect_rows(9)
        assert (await brought(batcher, 1)).queue_seconds >= 0.001 - TICK
        assert (await brought(batcher, 1, 2, 3, 4)).queue_seconds >= 0.004 - TICK

    run(test)


def test_without_patience_nobody_waits_for_announced_rows() -> None:
    async def test() -> None:
        batcher = Batcher(double, max_batch_size=8)
        batcher.expect_rows(2)
        assert (await brought(batcher, 1)).scores.item() == 2

    run(test)


def test_draining_waits_for_nobody_who_was_announced() -> None:
    async def test() -> None:
        batcher = Batcher(double, max_batch_size=8, wait_per_row=FOREVER)
        batcher.expect_rows(2)
        waiting = asyncio.create_task(brought(batcher, 1))
        await turns()
        await batcher.drain()
        assert waiting.result().scores.item() == 2

    run(test)


class Rounds:
    """One caller is answered while another waits."""

    def __init__(self, gated: tuple[GatedEngine, ThreadPoolExecutor], max_batch_size: int) -> None:
        self._engine, executor = gated
        self.batcher = Batcher(
            self._engine.run, max_batch_size=max_batch_size, wait_per_row=FOREVER, executor=executor
        )

    async def begin(self) -> asyncio.Task[Answer]:
        """The task of who waits."""
        first = started(self.batcher, 1)
        await turns()
        second = started(self.batcher, 2)
        await turns()
        self._engine.gate.set()
        await first
        await turns()
        return second


@pytest.fixture
def endless_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.batching.batch_window.PAUSE", FOREVER**3)


@pytest.mark.usefixtures("endless_pause")
def test_who_waited_through_a_run_waits_a_little_for_who_was_answered(
    gated: tuple[GatedEngine, ThreadPoolExecutor],
) -> None:
    async def test() -> None:
        rounds = Rounds(gated, 2)
        second = await rounds.begin()
        assert not second.done()
        again = await rounds.batcher.submit(rows(3))
        assert [(await second).scores.item(), again.scores.item()] == [4, 6]

    run(test)
    assert gated[0].batches == [[1], [2, 3]]


@pytest.mark.usefixtures("endless_pause")
def test_draining_ends_a_pause(gated: tuple[GatedEngine, ThreadPoolExecutor]) -> None:
    async def test() -> None:
        rounds = Rounds(gated, 8)
        second = await rounds.begin()
        assert not second.done()
        await rounds.batcher.drain()
        assert second.result().scores.item() == 4

    run(test)


@pytest.mark.usefixtures("endless_pause")
def test_who_comes_to_an_idle_engine_finds_no_pause(gated: tuple[GatedEngine, ThreadPoolExecutor]) -> None:
    engine, executor = gated
    engine.gate.set()

    async def test() -> None:
        batcher = Batcher(engine.run, max_batch_size=8, wait_per_row=FOREVER, executor=executor)
        for value in (1, 2, 3):
            assert (await batcher.submit(rows(value))).scores.item() == 2 * value

    run(test)


def test_a_pause_ends_by_itself(gated: tuple[GatedEngine, ThreadPoolExecutor]) -> None:
    async def test() -> None:
        second = await Rounds(gated, 8).begin()
        assert (await second).scores.item() == 4

    run(test)
    assert gated[0].batches == [[1], [2]]


def test_a_long_request_runs_in_chunks_and_comes_back_whole() -> None:
    sizes: list[int] = []

    async def test() -> None:
        batcher = Batcher(double, max_batch_size=4, observe=lambda scores, seconds: sizes.append(len(scores)))
        answer = await batcher.submit(rows(*range(11)))
        assert answer.scores.ravel().tolist() == [2 * value for value in range(11)]

    run(test)
    assert sizes == [4, 4, 3]


def test_a_caller_that_leaves_while_waiting_is_not_run(
    gated: tuple[GatedEngine, ThreadPoolExecutor],
) -> None:
    engine, executor = gated

    async def test() -> None:
        batcher = Batcher(engine.run, max_batch_size=8, executor=executor)
        first, leaver, stayer = (started(batcher, value) for value in (1, 2, 3))
        await turns()
        later, leaver_too = started(batcher, 4), started(batcher, 5)
        await turns()
        leaver.cancel()  # its batch is in the engine
        leaver_too.cancel()  # its batch is not yet formed
        await turns()
        engine.gate.set()
        answers = await asyncio.gather(first, stayer, later)
        assert [answer.scores.item() for answer in answers] == [2, 6, 8]
        assert leaver.cancelled()
        assert leaver_too.cancelled()

    run(test)
    assert engine.batches == [[1, 2, 3], [4]]


def test_a_failing_batch_answers_every_waiter_and_the_next_one_runs(
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


def test_a_request_whose_second_chunk_fails_fails_once(caplog: pytest.LogCaptureFixture) -> None:
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


def test_an_engine_that_answers_too_few_rows_harms_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        batcher = Batcher(lambda batch: double(batch)[1:], max_batch_size=4)
        with pytest.raises(InferenceFailed):
            await batcher.submit(rows(1))

    with failures_logged(caplog, 1):
        run(test)


def test_an_observer_that_raises_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(scores: Scores, seconds: float) -> None:
        raise RuntimeError

    async def test() -> None:
        batcher = Batcher(double, max_batch_size=4, observe=broken)
        for value in (1, 2):
            assert (await batcher.submit(rows(value))).scores.item() == 2 * value

    with failures_logged(caplog, 2):
        run(test)


def test_an_executor_that_was_shut_down_answers_every_waiter(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        executor = ThreadPoolExecutor(1)
        executor.shutdown()
        batcher = Batcher(double, max_batch_size=4, executor=executor)
        with pytest.raises(InferenceFailed):
            await batcher.submit(rows(1))
        await batcher.drain()

    with failures_logged(caplog, 1):
        run(test)


def test_a_deadline_in_the_past_is_refused_before_any_work() -> None:
    async def test() -> None:
        batcher = Batcher(double, max_batch_size=4, observe=lambda scores, seconds: pytest.fail("it ran"))
        with pytest.raises(DeadlineExceeded):
            await batcher.submit(rows(1), deadline=asyncio.get_running_loop().time())
        await turns()

    run(test)


def test_a_deadline_that_passes_in_the_queue_is_dropped_before_work(
    gated: tuple[GatedEngine, ThreadPoolExecutor],
) -> None:
    engine, executor = gated

    async def test() -> None:
        batcher = Batcher(engine.run, max_batch_size=4, executor=executor)
        running = started(batcher, 1)
        await turns()
        soon = asyncio.get_running_loop().time() + 0.001
        with pytest.raises(DeadlineExceeded):
            await batcher.submit(rows(2), deadline=soon)
        engine.gate.set()
        await running
        await batcher.drain()

    run(test)
    assert engine.batches == [[1]]


def test_draining_a_full_queue_answers_all_and_takes_no_more(
    gated: tuple[GatedEngine, ThreadPoolExecutor],
) -> None:
    engine, executor = gated

    async def test() -> None:
        batcher = Batcher(engine.run, max_batch_size=2, max_queue_delay=FOREVER, executor=executor)
        admitted = [started(batcher, value) for value in range(7)]
        await turns()
        draining = asyncio.create_task(batcher.drain())
        await turns()
        with pytest.raises(ModelNotReady):
            await batcher.submit(rows(9))
        assert not draining.done()
        engine.gate.set()
        await draining
        assert [task.result().scores.item() for task in admitted] == [2 * value for value in range(7)]

    run(test)


def test_draining_an_idle_batcher_returns() -> None:
    async def test() -> None:
        await Batcher(double, max_batch_size=2).drain()

    run(test)


CALLER = st.tuples(
    st.lists(st.integers(0, 255), min_size=1, max_size=9),
    st.sampled_from(["stay", "stay", "stay", "leave at once", "leave later"]),
    st.integers(0, 3),
)


@settings(max_examples=150, deadline=None)
@given(
    callers=st.lists(CALLER, min_size=1, max_size=12),
    max_batch_size=st.integers(1, 8),
    threaded=st.booleans(),
    wait_per_row=st.sampled_from([0.0, 0.001, FOREVER]),
    poison=st.integers(0, 400),
)
def test_every_answer_depends_on_its_own_rows_alone(
    callers: list[tuple[list[int], str, int]],
    max_batch_size: int,
    threaded: bool,
    wait_per_row: float,
    poison: int,
) -> None:
    """Random sizes, announcements, departures and failures: whoever stays gets its own rows doubled, or the
    failure of a batch that it shared; nobody is left waiting."""
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
            for values, manner, pause in callers:
                task = asyncio.create_task(made_ready(batcher, pause, *values))
                tasks.append(task)
                await turns(pause)
                if manner == "leave at once":
                    task.cancel()
            await turns(1)
            for task, (_, manner, _) in zip(tasks, callers, strict=True):
                if manner == "leave later":
                    task.cancel()
            outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
            await asyncio.wait_for(batcher.drain(), 30)
        for (values, manner, _), outcome in zip(callers, outcomes, strict=True):
            if isinstance(outcome, asyncio.CancelledError):
                assert manner != "stay"
            elif isinstance(outcome, InferenceFailed):
                assert any(set(values) & batch for batch in failed)
            else:
                assert isinstance(outcome, Answer)
                assert outcome.scores.ravel().tolist() == [2 * value for value in values]
                assert poison not in values

    run(test)


def test_rows_of_unlike_shapes_never_share_a_run() -> None:
    shapes: list[tuple[int, ...]] = []
    wide, high = np.ones((1, 2, 3), np.uint8), np.ones((1, 3, 2), np.uint8)
    sent = (wide, wide, high, wide, high, high)

    def engine(batch: Rows) -> Scores:
        shapes.append(batch.shape)
        return double(batch)

    async def test() -> None:
        batcher = Batcher(engine, max_batch_size=8)
        answers = await asyncio.gather(*(batcher.submit(each) for each in sent))
        assert [answer.scores.shape for answer in answers] == [each.shape for each in sent]

    run(test)
    assert shapes == [(2, 2, 3), (1, 3, 2), (1, 2, 3), (2, 3, 2)]
