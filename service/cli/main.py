"""The command `convserve`: reads the arguments and the environment, and runs a command."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from ..config.cli_flags import CLIENT_KEY, read_settings
from ..config.settings import Settings
from ..errors import ConfigurationError, ConvserveError, NothingToServe
from ..system.printable import printable
from .arguments import build_parser
from .exit_codes import ExitCode

# Each command imports its modules when it runs: `--help` and `health` load no inference library.
Command = Callable[[Settings, argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `ExitCode` lists them."""
    arguments = build_parser().parse_args(argv)
    try:
        settings = read_settings(arguments, os.environ)
        code = _COMMANDS[arguments.command](settings, arguments)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, so that a broken pipe is noticed
        return code
    except NothingToServe as error:
        return _fail(error, ExitCode.NOTHING_TO_SERVE)
    except ConfigurationError as error:
        return _fail(error, ExitCode.USAGE_ERROR)
    except ConvserveError as error:
        return _fail(error, ExitCode.FAILED)
    except KeyboardInterrupt:
        return _exit_by(signal.SIGINT)
    except BrokenPipeError:
        return _exit_by(signal.SIGPIPE)  # quietly, as other programs whose output nobody reads


def _serve(settings: Settings, arguments: argparse.Namespace) -> int:
    from ..server.hangup import handle_early_hangups

    handle_early_hangups()  # the libraries take a second to load
    from .serve import serve

    ended_by = serve(settings)
    return ExitCode.OK if ended_by is None else _exit_by(ended_by)


def _classify(settings: Settings, arguments: argparse.Namespace) -> int:
    from .classify import classify

    level = _log_warnings_only(settings)
    result = classify(settings, arguments, os.environ.get(CLIENT_KEY), level)
    return _exit_by(result) if isinstance(result, signal.Signals) else result


def _explain(settings: Settings, arguments: argparse.Namespace) -> int:
    from ..explain.request import ExplainOptions
    from .explain import ExplainQuery, explain

    _log_warnings_only(settings)
    options = ExplainOptions(
        method=arguments.method,
        layer=arguments.layer,
        label=arguments.label,
        versus=arguments.versus,
        curves=arguments.curves,
        flip=arguments.flip,
    )
    return asyncio.run(
        explain(
            settings,
            arguments.image,
            arguments.output,
            ExplainQuery(arguments.model, arguments.model_version, options),
            url=arguments.url,
            key=os.environ.get(CLIENT_KEY),
            as_json=arguments.json,
        )
    )


def _faithfulness(settings: Settings, arguments: argparse.Namespace) -> int:
    from .explain import ExplainQuery, faithfulness

    _log_warnings_only(settings)
    query = ExplainQuery(arguments.model, arguments.model_version)
    return asyncio.run(faithfulness(settings, arguments.images, arguments.output, query))


def _bench(settings: Settings, arguments: argparse.Namespace) -> int:
    from ..loadgen.cli import bench

    succeeded = bench(settings, arguments, os.environ.get(CLIENT_KEY))
    return ExitCode.OK if succeeded else ExitCode.FAILED


def _check(settings: Settings, arguments: argparse.Namespace) -> int:
    from .check import check

    _log_warnings_only(settings)
    return asyncio.run(check(settings))


def _health(settings: Settings, arguments: argparse.Namespace) -> int:
    from .health import check_readiness

    print(printable(check_readiness(settings)))
    return ExitCode.OK


def _key(settings: Settings, arguments: argparse.Namespace) -> int:
    from ..security.api_keys import digest_of, new_key, read_keys

    key = new_key()
    line = f"{arguments.name} {arguments.scopes} {digest_of(key)}"
    read_keys(line, "convserve key")
    print(f"key: {key}", f"line: {line}", sep="\n")
    return ExitCode.OK


_COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "serve": _serve,
        "classify": _classify,
        "explain": _explain,
        "faithfulness": _faithfulness,
        "bench": _bench,
        "check": _check,
        "health": _health,
        "key": _key,
    }
)


def _log_warnings_only(settings: Settings) -> str:
    """Log only warnings and errors, unless a level is set: the output of a command is its result.

    Returns the lowest level that is logged.
    """
    from ..telemetry.logs import configure_logs

    level = settings.log_level if "log_level" in settings.model_fields_set else "warning"
    configure_logs(level, settings.log_format)
    return level


def _fail(error: ConvserveError, code: ExitCode) -> ExitCode:
    print(f"convserve: {printable(str(error))}", file=sys.stderr)
    return code


def _exit_by(ended_by: signal.Signals) -> int:
    """Exit by raising the signal again, so that a shell or an init process sees the reason."""
    signal.signal(ended_by, signal.SIG_DFL)
    signal.raise_signal(ended_by)
    return 128 + ended_by
