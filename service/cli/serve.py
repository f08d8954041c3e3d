"""The command `convserve serve`."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import NoReturn

from ..config.settings import Settings
from ..errors import ConfigurationError
from ..server.startup_banner import StartupBanner
from ..system.sockets import address, bind, client_address, reserved
from ..telemetry.logs import configure_logs


def serve(settings: Settings) -> signal.Signals | None:
    """Serve until a signal arrives, and return that signal.

    Raises:
        ConfigurationError, NothingToServe: the server cannot start.
    """
    configure_logs(settings.log_level, settings.log_format)
    if os.getpid() == 1:
        # The kernel ignores signals that process 1 has no handler for: SIGTERM needs one while models load.
        signal.signal(signal.SIGTERM, _exit_on_signal)
    open_socket = bind if settings.workers == 1 else reserved
    with ExitStack() as stack:
        listener = stack.enter_context(open_socket(settings.host, settings.port))
        admin = None
        if settings.admin_port:
            admin = stack.enter_context(open_socket(settings.host, max(0, settings.admin_port)))
            settings = settings.model_copy(update={"admin_port": admin.getsockname()[1]})
        grpc = stack.enter_context(_reserved_for_grpc(settings))
        return _run(settings, listener, admin, grpc)


def _run(
    settings: Settings, listener: socket.socket, admin: socket.socket | None, grpc: socket.socket | None
) -> signal.Signals | None:
    """Serve in this process, or in `settings.workers` processes under a supervisor."""
    announce = _announcer(settings, listener, admin, grpc)
    grpc_address = None if grpc is None else address(grpc)
    if settings.workers > 1:
        from ..server.supervisor import Supervisor

        return Supervisor(settings, listener, grpc_address).run(announce)
    gc.disable()  # until the server has started; hardly any object is freed before that
    from ..server.server import Endpoints
    from ..server.server import serve as serve_in_process

    return serve_in_process(settings, Endpoints(listener, admin, grpc_address), announce)


def _announcer(
    settings: Settings, listener: socket.socket, admin: socket.socket | None, grpc: socket.socket | None
) -> Callable[[StartupBanner], None]:
    scheme = "http" if settings.tls_cert is None else "https"
    url = f"{scheme}://{client_address(listener)}"
    admin_url = None if admin is None else f"{scheme}://{client_address(admin)}"
    grpc_address = None if grpc is None else client_address(grpc)

    def announce(banner: StartupBanner) -> None:
        print(banner.text(url, grpc_address, admin_url, ui=settings.ui), flush=True)

    return announce


@contextmanager
def _reserved_for_grpc(settings: Settings) -> Iterator[socket.socket | None]:
    """Reserve the port that the gRPC library binds itself; None if gRPC is off."""
    if not settings.grpc_port:
        yield None
        return
    with ExitStack() as stack:
        try:
            reservation = stack.enter_context(reserved(settings.host, max(0, settings.grpc_port)))
        except ConfigurationError as error:
            raise ConfigurationError(f"{error} (for gRPC; --grpc-port 0 turns gRPC off)") from error
        yield reservation


def _exit_on_signal(sig: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + sig)
