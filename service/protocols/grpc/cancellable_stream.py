"""Streams of requests that the server can end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

T = TypeVar("T")


async def read_until(closing: asyncio.Event, requests: AsyncIterator[T]) -> AsyncIterator[T]:
    """Yield `requests` until they end or `closing` is set.

    Otherwise, a client that keeps a stream open without sending requests would delay the server's shutdown.
    """
    closed = asyncio.ensure_future(closing.wait())
    try:
        while not closing.is_set():
            reading = asyncio.ensure_future(_next(requests))
            try:
                await asyncio.wait({closed, reading}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                reading.cancel()  # does nothing if it is done
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
