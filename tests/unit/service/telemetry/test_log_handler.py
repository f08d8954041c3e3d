"""Lines of one event-loop iteration are one write; warnings and lines outside of a loop are immediate."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Iterator

import pytest

from service.telemetry.log_handler import BatchingHandler


class Stream(io.StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return len(text)


@pytest.fixture
def stream() -> Stream:
    return Stream()


@pytest.fixture
def logger(stream: Stream) -> Iterator[logging.Logger]:
    logger = logging.Logger("test")
    handler = BatchingHandler(stream)
    logger.addHandler(handler)
    yield logger
    handler.close()


def test_lines_of_one_loop_iteration_are_one_write(logger: logging.Logger, stream: Stream) -> None:
    async def log() -> None:
        for turn in ("a", "b"):
            logger.info(turn)
            logger.info(turn)
            assert not any(turn in text for text in stream.writes)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    asyncio.run(log())
    assert stream.writes == ["a\na\n", "b\nb\n"]


def test_warning_is_written_immediately_after_earlier_lines(logger: logging.Logger, stream: Stream) -> None:
    async def log() -> None:
        logger.info("a")
        logger.warning("b")
        assert stream.writes == ["a\nb\n"]

    asyncio.run(log())
    assert stream.writes == ["a\nb\n"]


def test_line_without_an_event_loop_is_written_immediately(logger: logging.Logger, stream: Stream) -> None:
    logger.info("a")
    assert stream.writes == ["a\n"]


def test_lines_of_a_closed_loop_are_written_with_the_next_line(
    logger: logging.Logger, stream: Stream
) -> None:
    loop = asyncio.new_event_loop()

    async def log() -> None:
        logger.info("a")
        loop.stop()

    task = loop.create_task(log())
    loop.run_forever()
    assert task.done()
    loop.close()
    logger.info("b")
    assert "".join(stream.writes) == "a\nb\n"


def test_flush_writes_pending_lines(logger: logging.Logger, stream: Stream) -> None:
    async def log() -> None:
        logger.info("a")
        logger.handlers[0].flush()  # as logging.shutdown does
        assert stream.writes == ["a\n"]

    asyncio.run(log())
