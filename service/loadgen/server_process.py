"""Runs this project's server in a separate process, on free ports."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..config.cli_flags import as_flags
from ..config.settings import Settings
from ..errors import RemoteServerError

STOP_SECONDS = 60.0
# Free ports, and nothing on the terminal but the startup banner.
_OVERRIDES = {"host": "127.0.0.1", "port": "0", "grpc_port": "-1", "log_level": "warning"}
# A secret, which the environment passes on; every user of the machine can read a flag.
_INHERITED = {"api_keys"}


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A running server; `grpc` is `host:port`."""

    pid: int
    url: str
    grpc: str


@contextmanager
def local_server(settings: Settings) -> Iterator[LocalServer]:
    """Run a server with these settings, and stop it at the end of the block.

    Raises:
        RemoteServerError: the server did not start; it prints the reason itself.
    """
    package = __name__.rpartition(".loadgen.")[0]
    process = subprocess.Popen(
        [sys.executable, "-m", package, "serve", *_flags(settings)],
        env=os.environ | _import_path(package),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        try:
            yield LocalServer(process.pid, *_read_banner(process.stdout))
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def _flags(settings: Settings) -> list[str]:
    names = settings.model_fields_set - _INHERITED
    return as_flags({name: getattr(settings, name) for name in names} | _OVERRIDES)


def _import_path(package: str) -> dict[str, str]:
    """PYTHONPATH with the folder that contains the package, which may be on this process's path only."""
    folder = str(Path(__file__).resolve().parents[1 + package.count(".") + 1])
    return {"PYTHONPATH": os.pathsep.join([folder, *filter(None, [os.environ.get("PYTHONPATH")])])}


def _read_banner(lines: Iterator[str]) -> tuple[str, str]:
    """The URL and the gRPC address in the startup banner."""
    url = grpc = ""
    for line in lines:
        if found := re.match(r"convserve listens on (\S+)", line):
            url = found[1]
        elif found := re.match(r"  grpc: (\S+)", line):
            grpc = found[1]
        elif line.startswith("  docs: "):
            return url, grpc
    raise RemoteServerError("the server did not start")
