"""The requests of a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

T = TypeVar("T")


async def until(closing: asyncio.Event, requests: AsyncIterator[T]) -> AsyncIterator[T]:
    """`requests` up to their end or to `closing`, whichever comes first.

    Without it a client that keeps a stream open and asks nothing would hold up the server's end.
    """
    closed = asyncio.ensure_future(closing.wait())
    try:
        while not closing.is_set():
            reading = asyncio.ensure_future(_next(requests))
            try:
                await asyncio.wait({closed, reading}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                reading.cancel()  # which is nothing to one that is done
            if not reading.done() or (read := reading.result()) is None:
                return
            yield read[0]
    finally:
        closed.cancel()


async def _next(requests: AsyncIterator[T]) -> tuple[T] | None:
    try:
        return (await anext(requests),)
    except StopAsyncIteration:
        return None
