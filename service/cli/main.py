"""`convserve serve | classify | bench | check`: the one place that reads environment and arguments."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from .. import __version__
from ..config.cli_flags import CLIENT_KEY, add_settings, read_settings
from ..config.settings import Settings
from ..errors import ConfigurationError, ConvserveError, NothingToServe
from ..loadgen.options import add_options as add_bench_options

FAILED = 1
MISUSED = 2
NOTHING_TO_SERVE = 3

# Settings that only make sense where a port is served.
_ABOUT_MODELS = ("models", "provider", "threads", "max_pixels", "log_level", "log_format")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the answer is the exit code.

    0 all is well, 1 some of it failed, 2 it was called wrongly, 3 there is nothing to serve.
    """
    arguments = _parser().parse_args(argv)
    try:
        settings = read_settings(arguments, os.environ)
        code: int = arguments.command(settings, arguments)
    except NothingToServe as error:
        return _complain(error, NOTHING_TO_SERVE)
    except ConfigurationError as error:
        return _complain(error, MISUSED)
    except ConvserveError as error:
        return _complain(error, FAILED)
    except KeyboardInterrupt:
        return _end_by(signal.SIGINT)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("convserve", description="Serve ONNX image classifiers.")
    parser.add_argument("--version", action="version", version=f"convserve {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="serve a model repository over HTTP and gRPC")
    serve.set_defaults(command=_serve)
    add_settings(serve)

    classify = commands.add_parser("classify", help="label pictures, here or by a running server")
    classify.set_defaults(command=_classify)
    classify.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")
    classify.add_argument(
        "--url",
        help=f"ask the server at this address, with the API key in {CLIENT_KEY} if there is one, "
        "instead of loading the models",
    )
    classify.add_argument("--model", help="the model to ask; the server's default if not given")
    classify.add_argument("--model-version", metavar="VERSION", help="its version; the highest if not given")
    classify.add_argument("--top-k", type=int, default=1, metavar="K", help="classes to tell a picture")
    classify.add_argument("--json", action="store_true", help="print the answers as the server gives them")
    add_settings(classify, _ABOUT_MODELS)

    bench = commands.add_parser("bench", help="measure a server's speed")
    bench.set_defaults(command=_bench)
    add_bench_options(bench)
    add_settings(bench)

    check = commands.add_parser("check", help="load every model and say what would be served")
    check.set_defaults(command=_check)
    add_settings(check, _ABOUT_MODELS)

    health = commands.add_parser("health", help="ask the server on this machine whether it is ready")
    health.set_defaults(command=_health)
    add_settings(health, ("host", "port", "admin_port", "tls_cert", "tls_key"))

    key = commands.add_parser("key", help="make an API key, and its line for the list of keys")
    key.set_defaults(command=_key)
    key.add_argument("name", help="who is to have it")
    key.add_argument("--scopes", default="infer", help="of infer, admin, metrics; between commas")
    return parser


def _serve(settings: Settings, arguments: argparse.Namespace) -> int:
    from ..server.startup_banner import StartupBanner
    from ..system.sockets import address, address_to_ask, bind, reserved
    from ..telemetry.logs import configure_logs

    configure_logs(settings.log_level, settings.log_format)
    if os.getpid() == 1:
        # The init of a container gets no signal that it has no handler for: not even while the models load.
        signal.signal(signal.SIGTERM, _leave)
    with ExitStack() as stack:
        take = bind if settings.workers == 1 else reserved
        listener = stack.enter_context(take(settings.host, settings.port))
        admin = (
            stack.enter_context(take(settings.host, max(0, settings.admin_port)))
            if settings.admin_port
            else None
        )
        if admin is not None:
            settings = settings.model_copy(update={"admin_port": admin.getsockname()[1]})
        grpc_keeper = stack.enter_context(_reserved_for_grpc(settings))
        scheme = "http" if settings.tls_cert is None else "https"

        def announce(announcement: StartupBanner) -> None:
            grpc_address = None if grpc_keeper is None else address_to_ask(grpc_keeper)
            admin_url = None if admin is None else f"{scheme}://{address_to_ask(admin)}"
            url = f"{scheme}://{address_to_ask(listener)}"
            print(announcement.text(url, grpc_address, admin_url), flush=True)

        grpc_address = None if grpc_keeper is None else address(grpc_keeper)
        if settings.workers == 1:
            gc.disable()  # until the server has started: nearly all that is loaded stays
            from ..server.server import serve

            ended_by = serve(settings, listener, announce, admin=admin, grpc_address=grpc_address)
        else:
            from ..server.supervisor import Supervisor

            ended_by = Supervisor(settings, listener, grpc_address).run(announce)
    return _end_by(ended_by) if ended_by is not None else 0


@contextmanager
def _reserved_for_grpc(settings: Settings) -> Iterator[socket.socket | None]:
    """The port that gRPC's own library binds, held; None where there is to be no gRPC."""
    from ..system.sockets import reserved

    if not settings.grpc_port:
        yield None
        return
    with ExitStack() as stack:
        try:
            keeper = stack.enter_context(reserved(settings.host, max(0, settings.grpc_port)))
        except ConfigurationError as error:
            raise ConfigurationError(f"{error} (for gRPC, which --grpc-port 0 turns off)") from error
        yield keeper


def _classify(settings: Settings, arguments: argparse.Namespace) -> int:
    from .classify import classify

    _log_what_is_amiss(settings)
    return asyncio.run(
        classify(
            settings,
            arguments.pictures,
            url=arguments.url,
            key=os.environ.get(CLIENT_KEY),
            model=arguments.model,
            version=arguments.model_version,
            top_k=arguments.top_k,
            as_json=arguments.json,
        )
    )


def _bench(settings: Settings, arguments: argparse.Namespace) -> int:
    from ..loadgen.cli import bench

    return bench(settings, arguments, os.environ.get(CLIENT_KEY))


def _check(settings: Settings, arguments: argparse.Namespace) -> int:
    from .classify import check

    _log_what_is_amiss(settings)
    return asyncio.run(check(settings))


def _log_what_is_amiss(settings: Settings) -> None:
    """And no more, unless a level was given: which models are ready is no news to who asked for an answer."""
    from ..telemetry.logs import configure_logs

    level = settings.log_level if "log_level" in settings.model_fields_set else "warning"
    configure_logs(level, settings.log_format)


def _key(settings: Settings, arguments: argparse.Namespace) -> int:
    """The key, which is told this once, and the line that is to be kept."""
    from ..security.api_keys import digest_of, new_key, read_keys

    key = new_key()
    line = f"{arguments.name} {arguments.scopes} {digest_of(key)}"
    read_keys(line, "convserve key")
    print(key, line, sep="\n")
    return 0


def _health(settings: Settings, arguments: argparse.Namespace) -> int:
    from .health import ask_readiness

    # The admin port, where there is one, asks nobody for a certificate.
    port = settings.admin_port if settings.admin_port > 0 else settings.port
    print(ask_readiness(settings.host, port, secure=settings.tls_cert is not None))
    return 0


def _complain(error: ConvserveError, code: int) -> int:
    print(f"convserve: {error}", file=sys.stderr)
    return code


def _leave(sig: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + sig)


def _end_by(ended_by: signal.Signals) -> int:
    """End as the signal would have ended the process, so that a shell or an init sees why."""
    signal.signal(ended_by, signal.SIG_DFL)
    signal.raise_signal(ended_by)
    return 128 + ended_by
