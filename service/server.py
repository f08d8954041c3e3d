"""One server process: the application under uvicorn, from loading its models to its last answer."""

from __future__ import annotations

import asyncio
import signal
import socket
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import uvicorn
from prometheus_client import disable_created_metrics

from .announcement import Announcement
from .app import create_app
from .registry import Registry
from .settings import Settings

BACKLOG = 2048
KEEP_ALIVE_SECONDS = 75  # longer than the idle time of common load balancers, so that they close first


class Server(uvicorn.Server):
    """uvicorn, but not ready before it closes its port, and ended by its caller and not by the signal."""

    def __init__(
        self, config: uvicorn.Config, registry: Registry, *, drain_delay: float, obey_interrupt: bool
    ) -> None:
        super().__init__(config)
        self.ended_by: signal.Signals | None = None
        self._registry = registry
        self._drain_delay = drain_delay
        self._obey_interrupt = obey_interrupt

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: drain, then stop. An interrupt after that: stop at once."""
        if sig == signal.SIGINT and not self._obey_interrupt:
            return
        if self.ended_by is None:
            self.ended_by = signal.Signals(sig)
            self._registry.drain()
            delay = self._drain_delay if sig == signal.SIGTERM else 0.0
            loop = asyncio.get_running_loop()
            loop.call_soon_threadsafe(loop.call_later, delay, self.stop)
        elif sig == signal.SIGINT:
            self.force_exit = True
            self.stop()

    def stop(self) -> None:
        """Refuse new requests, answer the admitted ones, return from `serve`."""
        self._registry.stop()
        self.should_exit = True


def serve(
    settings: Settings,
    listener: socket.socket,
    announce: Callable[[Announcement], None],
    *,
    metrics_dir: Path | None = None,
    parent: int | None = None,
) -> signal.Signals | None:
    """Serve on a bound socket until a signal comes; which one is the answer.

    Args:
        announce: called when the models are loaded and the socket listens.
        metrics_dir: the folder through which several workers share their metrics.
        parent: a file descriptor that becomes readable when the supervisor is gone; given to a worker, which
            leaves it to its supervisor to answer to the terminal's interrupts.

    Raises:
        ConfigurationError, NothingToServe: it could not start.
    """
    # Pillow warns of odd metadata in words that a client chose.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    # It would put a second series beside every counter, which nothing here reads.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    app = create_app(settings, metrics_dir=metrics_dir)
    registry: Registry = app.state.registry
    config = uvicorn.Config(
        app,
        lifespan="off",  # entered below, where an error at start is ours to tell
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(settings.shutdown_timeout_s) or 1,
    )
    server = Server(config, registry, drain_delay=settings.drain_delay_s, obey_interrupt=parent is None)

    async def run() -> None:
        async with app.router.lifespan_context(app):
            listener.listen(BACKLOG)
            announce(Announcement.of(registry))
            if parent is not None:
                asyncio.get_running_loop().add_reader(parent, server.stop)
            await server.serve(sockets=[listener])

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(run())
    return server.ended_by
