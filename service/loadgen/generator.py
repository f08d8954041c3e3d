"""One load generator: the connections of one process, driven by one event loop."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque

from .clients.http1 import Connection, Status
from .clients.http2_grpc import GrpcConnection
from .results.response_checker import REJECTED, SUCCESS, ResponseChecker, Tally
from .types import Plan
from .workload.arrivals import Arrivals, poisson

# Time to wait for outstanding responses after the measurement.
GRACE_SECONDS = 10.0
MAX_CONCURRENT_CONNECTS = 64
# Limits the rate of reconnecting to a server that closes connections at once.
RECONNECT_SECONDS = 0.05


async def generate(plan: Plan) -> Tally:
    """Run a plan.

    Raises:
        OSError: the server cannot be reached at the start.
    """
    return await Generator(plan).run()


class Generator:
    """Runs one plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._data = plan.requests.data
        self._opens = plan.begin + plan.warm_up
        self._closes = self._opens + plan.seconds
        self._tally = Tally()
        self._checker = ResponseChecker(plan.requests.parse, self._tally)
        self._last_request = plan.seed
        self._open: set[Connection] = set()
        self._pending = 0  # requests of the measurement that are in progress, or due and waiting
        self._finished = asyncio.Event()
        self._idle: list[Connection] = []
        self._due: deque[float] = deque()
        self._arrivals: Arrivals | None = None
        self._reconnecting: set[asyncio.Task[None]] = set()

    async def run(self) -> Tally:
        try:
            await self._connect_all()
            loop = asyncio.get_running_loop()
            await asyncio.sleep(self._plan.begin - time.monotonic())
            loop.call_later(self._opens - time.monotonic(), self._record_cpu, -1)
            loop.call_later(self._closes - time.monotonic(), self._record_cpu, 1)
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
            self._send_next(connection, time.monotonic())
        await self._wait_until_finished()

    async def _open_loop(self, rate: float) -> None:
        times = poisson(rate, self._plan.warm_up + self._plan.seconds, self._plan.seed)
        due = (self._plan.begin + offset for offset in times)
        self._arrivals = Arrivals(due, self._on_arrival, lambda: bool(self._idle))
        await self._arrivals.run()
        await self._wait_until_finished()

    async def _wait_until_finished(self) -> None:
        """Wait for the end of the measurement, and then for outstanding responses."""
        await asyncio.sleep(self._closes - time.monotonic())
        if self._pending:
            try:
                await asyncio.wait_for(self._finished.wait(), GRACE_SECONDS)
            except TimeoutError:
                return

    def _on_arrival(self, due: float) -> None:
        self._count_offered(due)
        if self._idle:
            self._send(self._idle.pop(), due)
        else:
            self._due.append(due)

    def _send_next(self, connection: Connection, now: float) -> None:
        """Send the next request of a closed loop."""
        self._count_offered(now)
        self._send(connection, now)

    def _count_offered(self, due: float) -> None:
        if self._opens <= due < self._closes:
            self._tally.offered += 1
            self._pending += 1

    def _send(self, connection: Connection, due: float) -> None:
        if self._plan.rate is not None and due >= self._opens:
            self._tally.send_delays.append(time.monotonic() - due)
        number = self._last_request = (self._last_request + 1) % len(self._data)
        connection.request = number
        connection.started = due
        connection.send(self._data[number])

    def _on_response(self, connection: Connection, status: Status, body: bytes) -> None:
        now = time.monotonic()
        correct = status in SUCCESS and self._checker.is_correct(connection.request, body)
        if correct and self._opens <= now < self._closes:
            self._tally.completed += 1
        if self._opens <= connection.started < self._closes:
            self._count(now - connection.started, status, correct)
            self._finish_request(now)
        self._reuse(connection, now)

    def _count(self, seconds: float, status: Status, correct: bool) -> None:
        tally = self._tally
        tally.statuses[status] += 1
        if correct:
            tally.latencies.append(seconds)
        elif status in REJECTED:
            tally.rejection_latencies.append(seconds)

    def _finish_request(self, now: float) -> None:
        self._pending -= 1
        if not self._pending and now >= self._closes:
            self._finished.set()

    def _reuse(self, connection: Connection, now: float) -> None:
        """Send the next request on a connection, or keep it idle."""
        if connection.closing:
            return  # `_on_loss` will replace it
        if self._plan.rate is None:
            if now < self._closes:
                self._send_next(connection, now)
        elif self._due:
            self._send(connection, self._due.popleft())
        else:
            self._idle.append(connection)
            if self._arrivals is not None:
                self._arrivals.catch_up()

    def _on_loss(self, connection: Connection) -> None:
        if connection not in self._open:
            return
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if connection.busy and self._opens <= connection.started < self._closes:
            self._tally.lost += 1
            self._finish_request(time.monotonic())
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
            self._reuse(connection, time.monotonic())
            return

    async def _connect_all(self) -> None:
        slots = asyncio.Semaphore(MAX_CONCURRENT_CONNECTS)

        async def connect() -> None:
            async with slots:
                self._idle.append(await self._connect())

        attempts = (connect() for _ in range(self._plan.connections))
        for result in await asyncio.gather(*attempts, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _connect(self) -> Connection:
        requests = self._plan.requests
        address = requests.address

        def create() -> Connection:
            if requests.method is None:
                return Connection(self._on_response, self._on_loss)
            authority = f"{address.host}:{address.port}"
            return GrpcConnection(self._on_response, self._on_loss, requests.method, authority, requests.key)

        tls = ssl.create_default_context() if address.tls else None
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(create, address.host, address.port, ssl=tls)
        self._open.add(connection)
        return connection

    def _disconnect(self) -> None:
        for task in self._reconnecting:
            task.cancel()
        connections, self._open = self._open, set[Connection]()
        for connection in connections:
            connection.close()

    def _record_cpu(self, sign: int) -> None:
        self._tally.cpu_seconds += sign * time.process_time()
