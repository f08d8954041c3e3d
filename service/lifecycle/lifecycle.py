"""Loads the models of a server process, and changes them while it serves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ..config.settings import Settings
from ..errors import Forbidden, ModelNotReady
from ..inference.data_plane import DataPlane
from ..system.sockets import is_loopback
from ..telemetry.metrics import ServerMetrics
from .coordinator import Coordinator
from .message_socket import MessageSocket
from .messages import Action, Answer, Call, FromWorker, Go, Scan, ToWorker, Watch
from .participant import Participant
from .plans import State
from .scanner import Known, Scanner
from .states import VersionLife

TICK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class CoordinatorLink:
    """A worker's connection to the coordinator, which runs in the supervisor.

    Attributes:
        state: what the other workers serve.
    """

    socket: MessageSocket
    state: State


class Lifecycle:
    """The models of this process, as its coordinator wants them.

    Args:
        link: connects to the coordinator of several workers; None for one in this process.
    """

    def __init__(
        self,
        settings: Settings,
        plane: DataPlane,
        telemetry: ServerMetrics,
        link: CoordinatorLink | None = None,
    ) -> None:
        self._settings = settings
        self._plane = plane
        self._telemetry = telemetry
        self._link = link
        self._participant: Participant | None = None
        self._scanner: Scanner | None = None
        self._calls: dict[int, asyncio.Future[None]] = {}
        self._call_number = 0
        self._timer: asyncio.TimerHandle | None = None
        self._send: Callable[[FromWorker], None] = lambda message: None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Load the models; on exit finish the admitted requests and end all threads.

        Raises:
            ConfigurationError: the repository cannot be read, or does not contain the default model.
            NothingToServe: no version could be loaded.
        """
        async with self._plane.running():
            try:
                await self.start()
                yield
            finally:
                await self._close()

    async def start(self) -> None:
        """Load the models.

        Raises:
            ConfigurationError, NothingToServe: as `opened`.
        """
        participant, _ = self._create()
        participant.start()
        await participant.released

    async def _close(self) -> None:
        assert self._participant is not None
        assert self._scanner is not None
        self._scanner.close()
        for call in self._calls.values():
            call.cancel()
        self._disconnect()
        await asyncio.gather(self._participant.close(), self._plane.registry.close())

    def _create(self) -> tuple[Participant, Scanner]:
        settings, plane = self._settings, self._plane
        self._send = self._connect()
        participant = self._participant = Participant(
            plane.registry,
            plane.loader,
            self._telemetry,
            self._send,
            state=State() if self._link is None else self._link.state,
            drain_timeout=(settings.request_timeout_ms / 1000) + settings.body_timeout_s,
        )
        scanner = self._scanner = Scanner(
            settings.models,
            lambda: Known(dict(participant.plans), dict(participant.reports)),
            self._send,
            poll_seconds=settings.poll_s,
            max_bytes=settings.max_model_bytes,
        )
        return participant, scanner

    @property
    def lives(self) -> Sequence[VersionLife]:
        """The versions that this process loads, serves or ends."""
        return [] if self._participant is None else list(self._participant.lives)

    async def change(self, action: Action, name: str) -> None:
        """Load a model as it lies on disk, or unload it; returns once every worker does so.

        Raises:
            Forbidden: anybody in the network could call this.
            ModelNotFound: the repository has no such model.
            InvalidModel: a version cannot be loaded; what was served still is.
            LoadConflict: too many such calls wait.
            ModelNotReady: the server is shutting down.
        """
        self._check_access()
        if self._plane.registry.draining:
            raise ModelNotReady("the server is shutting down")
        self._call_number += 1
        number = self._call_number
        call = self._calls[number] = asyncio.get_running_loop().create_future()
        try:
            self._send(Call(number, action, name))
            await asyncio.shield(call)
        except asyncio.CancelledError:
            if call.cancelled():
                raise ModelNotReady("the server is shutting down") from None
            raise
        finally:
            del self._calls[number]

    def _check_access(self) -> None:
        settings = self._settings
        has_keys = settings.api_keys is not None or settings.api_keys_file is not None
        if not has_keys and not is_loopback(settings.host):
            raise Forbidden(
                f"models are loaded and unloaded only with an API key, because the server listens on "
                f"{settings.host}, which others can reach: set CONVSERVE_API_KEYS or CONVSERVE_API_KEYS_FILE"
            )

    def look(self) -> None:
        """Look at the repository now, if this worker is the one that does."""
        if self._scanner is not None:
            self._scanner.look()

    def _receive(self, message: ToWorker) -> None:
        assert self._participant is not None
        assert self._scanner is not None
        if isinstance(message, Scan):
            self._scanner.request(message)
        elif isinstance(message, Watch):
            self._scanner.watch()
        elif isinstance(message, Answer):
            self._answer(message)
        else:
            self._participant.receive(message)

    def _answer(self, message: Answer) -> None:
        call = self._calls.get(message.number)
        if call is None or call.done():
            return
        if message.error is None:
            call.set_result(None)
        else:
            call.set_exception(message.error)

    def _connect(self) -> Callable[[FromWorker], None]:
        loop = asyncio.get_running_loop()
        if self._link is not None:
            return self._connect_to_supervisor(self._link.socket)
        # Not direct calls, so that a message never interrupts the handling of another.
        coordinator = Coordinator.of(
            self._settings, lambda worker, message: _soon(loop, self._receive, message)
        )

        def deliver(message: FromWorker) -> None:
            coordinator.receive(0, message)
            if coordinator.error is not None and self._participant is not None:
                self._participant.receive(Go(coordinator.error))

        def tick() -> None:
            coordinator.tick()
            self._timer = loop.call_later(TICK_SECONDS, tick)

        self._timer = loop.call_later(TICK_SECONDS, tick)
        return lambda message: _soon(loop, deliver, message)

    def _connect_to_supervisor(self, connection: MessageSocket) -> Callable[[FromWorker], None]:
        loop = asyncio.get_running_loop()

        def receive() -> None:
            for message in connection.receive():
                self._receive(message)
            if connection.has_ended:
                loop.remove_reader(connection)

        def flush() -> None:
            connection.flush()
            if not connection.has_unsent:
                loop.remove_writer(connection)

        def send(message: FromWorker) -> None:
            connection.send(message)
            if connection.has_unsent:
                loop.add_writer(connection, flush)

        loop.add_reader(connection, receive)
        return send

    def _disconnect(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._link is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._link.socket)
            loop.remove_writer(self._link.socket)


def _soon(loop: asyncio.AbstractEventLoop, handle: Callable[..., None], message: object) -> None:
    if not loop.is_closed():
        loop.call_soon(handle, message)
