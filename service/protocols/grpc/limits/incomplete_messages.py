"""The calls whose message is incomplete: charges what has arrived, and ends those that wait too long."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from ....client_budget import ClientBudget
from ....errors import BudgetExceeded, DeadlineExceeded, PayloadTooLarge
from ....system.tcp_connections import TcpConnections, TcpState
from .connection import Connection

if TYPE_CHECKING:
    from .calls import Call

# Seconds between checks; most messages are complete before the first.
CHECK_SECONDS = 0.02
# Seconds that checks may take in an iteration of the event loop.
MAX_CHECK_SECONDS = 0.005
# The event loop has this many times as long for other work.
PAUSE_RATIO = 20


class IncompleteMessages:
    """The calls that await a message, and the checks of what has arrived.

    Attributes:
        tcp: the connections of the port; None before it listens.
    """

    def __init__(self, budget: ClientBudget, max_message: int, arrival_timeout: float) -> None:
        """
        Args:
            max_message: bytes of a message.
            arrival_timeout: seconds until a message must be complete, except in a stream.
        """
        self.tcp: TcpConnections | None = None
        self._budget = budget
        self._max_message = max_message
        self._arrival_timeout = arrival_timeout
        self._calls: dict[Call, None] = {}
        self._charged: set[Connection] = set()
        self._checking: asyncio.TimerHandle | None = None

    def __contains__(self, call: Call) -> bool:
        return call in self._calls

    def __iter__(self) -> Iterator[Call]:
        return iter(list(self._calls))

    def add(self, call: Call) -> None:
        call.since = 0.0
        self._calls[call] = None
        if self._checking is None:
            self._later(CHECK_SECONDS, self._check_all)

    def remove(self, call: Call) -> None:
        del self._calls[call]

    def _check_all(self) -> None:
        started = asyncio.get_running_loop().time()
        late: dict[Connection, list[Call]] = defaultdict(list)
        for call in self._calls:
            if not call.since:
                call.since = started
            late[call.connection].append(call)
        settled = self._charged.difference(late)
        self._charged = set(late)
        self._check(chain(((each, []) for each in settled), late.items()), started)

    def _check(self, late: Iterator[tuple[Connection, list[Call]]], started: float) -> None:
        """Check as many connections as there is time for, and the others later."""
        now = asyncio.get_running_loop().time
        begun = now()
        for connection, calls in late:
            if calls:
                self._charge(connection, calls)
            else:
                connection.settle(self._state(connection))
            self._check_arrival(calls, started - self._arrival_timeout)
            if now() - begun > MAX_CHECK_SECONDS:
                self._later(PAUSE_RATIO * MAX_CHECK_SECONDS, self._check, late, started)
                return
        self._checking = None
        if self._calls:
            self._later(max(CHECK_SECONDS, PAUSE_RATIO * (now() - begun)), self._check_all)

    def _later(self, seconds: float, check: Callable[..., None], *arguments: object) -> None:
        self._checking = asyncio.get_running_loop().call_later(seconds, check, *arguments)

    def _charge(self, connection: Connection, calls: list[Call]) -> None:
        try:
            connection.charge(self._budget, self._state(connection), calls, self._max_message)
        except (BudgetExceeded, PayloadTooLarge) as error:
            connection.refuse(calls, error)

    def _state(self, connection: Connection) -> TcpState | None:
        if self.tcp is None or connection.address is None:
            return None
        return self.tcp.state(connection.address)

    def _check_arrival(self, calls: list[Call], earliest: float) -> None:
        for call in calls:
            if call.since < earliest and not call.streaming:
                call.fail(
                    DeadlineExceeded(
                        f"the message has not arrived within {self._arrival_timeout:g} s "
                        "(CONVSERVE_BODY_TIMEOUT_S)"
                    )
                )
