"""Bounds the time that requests take from one iteration of the event loop."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable

# Time of the event loop's thread for the requests of one iteration. A request on a new connection takes about
# four iterations.
MAX_SECONDS = 0.008
# Requests of an iteration. Even if each takes longer than expected, a few have to be served.
MIN_REQUESTS = 8
MAX_REQUESTS = 128

Begin = Callable[[], None]
Clock = Callable[[], float]


class RequestTurns:
    """Requests begin at once, as many in an iteration of the event loop as the loop handles in 8 ms.

    The others begin in the next iterations, in which clients take turns. So do the requests of one client
    that are the first of their connections, and those that are not: a probe opens a connection, and many
    connections that send cheap requests without a pause would each delay it by a request in each iteration.
    A request whose application waits for its body takes another turn when a part of it has arrived.

    How long a turn takes is measured: the time that the thread has worked divided by the number of turns
    meanwhile.
    """

    __slots__ = ("_clock", "_cpu", "_left", "_limit", "_waiting")

    def __init__(self, clock: Clock = time.thread_time) -> None:
        self._clock = clock
        self._cpu = clock()
        self._limit = self._left = MAX_REQUESTS
        # The first key has the next turn; none has an empty queue.
        self._waiting: OrderedDict[tuple[Hashable, bool], deque[Begin]] = OrderedDict()

    def take(self, begin: Begin, client: Hashable, *, is_first: bool) -> None:
        """Call `begin`, now or when it is its turn.

        Args:
            is_first: the request is the first of its connection.
        """
        if self._left:
            begin()
            self._count()
        else:
            self._waiting.setdefault((client, is_first), deque()).append(begin)

    def _count(self) -> None:
        self._left -= 1
        if not self._left:  # the next iteration begins after the requests of this one
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        cpu = self._clock()
        seconds = (cpu - self._cpu) / self._limit
        self._cpu = cpu
        self._limit = MAX_REQUESTS
        if seconds > MAX_SECONDS / MAX_REQUESTS:
            self._limit = max(MIN_REQUESTS, int(MAX_SECONDS / seconds))
        self._left = self._limit
        while self._left and self._waiting:
            self._pop()()
            self._count()

    def _pop(self) -> Begin:
        key, queue = next(iter(self._waiting.items()))
        begin = queue.popleft()
        if queue:
            self._waiting.move_to_end(key)
        else:
            del self._waiting[key]
        return begin
