"""One generator of load: connections of one process, driven by one event loop."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque

from .clients.http1 import Connection, Status
from .clients.http2_grpc import GrpcConnection
from .results.answer_checker import ANSWERED, REFUSED, Checker, Tally
from .types import Plan
from .workload.arrivals import Arrivals
from .workload.schedule import poisson

# How long answers are waited for after the window has closed.
GRACE_SECONDS = 10.0
CONNECTING_AT_A_TIME = 64
# A server that closes connections at once is not hammered with new ones.
RECONNECT_SECONDS = 0.05


async def generate(plan: Plan) -> Tally:
    """Carry a plan out.

    Raises:
        OSError: the server cannot be reached at the beginning.
    """
    return await Generator(plan).run()


class Generator:
    """The life of one plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._data = plan.requests.data
        self._opens = plan.begin + plan.warm_up
        self._closes = self._opens + plan.seconds
        self._tally = Tally()
        self._checker = Checker(plan.requests.read, self._tally)
        self._next = plan.seed
        self._open: set[Connection] = set()
        self._pending = 0  # requests of the window that are under way, or due and waiting
        self._over = asyncio.Event()
        self._idle: list[Connection] = []
        self._due: deque[float] = deque()
        self._arrivals: Arrivals | None = None
        self._reconnecting: set[asyncio.Task[None]] = set()

    async def run(self) -> Tally:
        try:
            await self._connect_all()
            loop = asyncio.get_running_loop()
            await asyncio.sleep(self._plan.begin - time.monotonic())
            loop.call_later(self._opens - time.monotonic(), self._note_cpu, -1)
            loop.call_later(self._closes - time.monotonic(), self._note_cpu, 1)
            if self._plan.rate is None:
                await self._closed_loop()
            else:
                await self._open_loop(self._plan.rate)
        finally:
            self._disconnect()
        self._tally.lost += self._pending
        return self._tally

    async def _closed_loop(self) -> None:
        for connection in self._idle:
            self._ask(connection, time.monotonic())
        await asyncio.sleep(self._closes - time.monotonic())
        await self._wait_for_the_last()

    async def _open_loop(self, rate: float) -> None:
        times = poisson(rate, self._plan.warm_up + self._plan.seconds, self._plan.seed)
        due = (self._plan.begin + offset for offset in times)
        self._arrivals = Arrivals(due, self._arrive, lambda: bool(self._idle))
        await self._arrivals.all()
        await asyncio.sleep(self._closes - time.monotonic())
        await self._wait_for_the_last()

    async def _wait_for_the_last(self) -> None:
        if self._pending:
            try:
                await asyncio.wait_for(self._over.wait(), GRACE_SECONDS)
            except TimeoutError:
                return

    def _arrive(self, due: float) -> None:
        if self._opens <= due < self._closes:
            self._tally.offered += 1
            self._pending += 1
        if self._idle:
            self._send(self._idle.pop(), due)
        else:
            self._due.append(due)

    def _ask(self, connection: Connection, now: float) -> None:
        """The next request of a closed loop."""
        if self._opens <= now < self._closes:
            self._tally.offered += 1
            self._pending += 1
        self._send(connection, now)

    def _send(self, connection: Connection, due: float) -> None:
        if self._plan.rate is not None and due >= self._opens:
            self._tally.late.append(time.monotonic() - due)
        number = self._next = (self._next + 1) % len(self._data)
        connection.request = number
        connection.started = due
        connection.send(self._data[number])

    def _answered(self, connection: Connection, status: Status, body: bytes) -> None:
        now = time.monotonic()
        right = status in ANSWERED and self._checker.is_right(connection.request, body)
        if right and self._opens <= now < self._closes:
            self._tally.completed += 1
        if self._opens <= connection.started < self._closes:
            self._count(now - connection.started, status, right)
            self._settle(now)
        self._go_on(connection, now)

    def _count(self, seconds: float, status: Status, right: bool) -> None:
        tally = self._tally
        tally.statuses[status] += 1
        if right:
            tally.answered.append(seconds)
        elif status in REFUSED:
            tally.refused.append(seconds)

    def _settle(self, now: float) -> None:
        self._pending -= 1
        if not self._pending and now >= self._closes:
            self._over.set()

    def _go_on(self, connection: Connection, now: float) -> None:
        if connection.closing:
            return  # another takes its place once its loss is told
        if self._plan.rate is None:
            if now < self._closes:
                self._ask(connection, now)
        elif self._due:
            self._send(connection, self._due.popleft())
        else:
            self._idle.append(connection)
            if self._arrivals is not None:
                self._arrivals.catch_up()

    def _lost(self, connection: Connection) -> None:
        if connection not in self._open:
            return
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if connection.busy and self._opens <= connection.started < self._closes:
            self._tally.lost += 1
            self._settle(time.monotonic())
        if time.monotonic() < self._closes:
            task = asyncio.ensure_future(self._reconnect())
            self._reconnecting.add(task)
            task.add_done_callback(self._reconnecting.discard)

    async def _reconnect(self) -> None:
        while time.monotonic() < self._closes:
            await asyncio.sleep(RECONNECT_SECONDS)
            try:
                connection = await self._connect()
            except OSError:
                continue
            self._go_on(connection, time.monotonic())
            return

    async def _connect_all(self) -> None:
        gate = asyncio.Semaphore(CONNECTING_AT_A_TIME)

        async def one() -> None:
            async with gate:
                self._idle.append(await self._connect())

        first = await asyncio.gather(*(one() for _ in range(self._plan.connections)), return_exceptions=True)
        for error in first:
            if isinstance(error, BaseException):
                raise error

    async def _connect(self) -> Connection:
        requests = self._plan.requests
        address = requests.address

        def made() -> Connection:
            if requests.method is None:
                return Connection(self._answered, self._lost)
            authority = f"{address.host}:{address.port}"
            return GrpcConnection(self._answered, self._lost, requests.method, authority, requests.key)

        tls = ssl.create_default_context() if address.tls else None
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(made, address.host, address.port, ssl=tls)
        self._open.add(connection)
        return connection

    def _disconnect(self) -> None:
        for task in self._reconnecting:
            task.cancel()
        connections, self._open = self._open, set[Connection]()
        for connection in connections:
            connection.close()

    def _note_cpu(self, sign: int) -> None:
        self._tally.cpu_seconds += sign * time.process_time()
