"""This project's server as a process of its own, on free ports, for as long as a block lasts."""

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
# Not a user's to choose here: free ports, and nothing but the announcement on the terminal.
_OWN = {"host": "127.0.0.1", "port": "0", "grpc_port": "-1", "log_level": "warning"}
# What everybody may read who lists the processes is no place for a key; the environment hands it on.
_INHERITED = {"api_keys"}


@dataclass(frozen=True, slots=True)
class LocalServer:
    """`grpc` is `host:port`."""

    pid: int
    url: str
    grpc: str


@contextmanager
def local_server(settings: Settings) -> Iterator[LocalServer]:
    """Raises RemoteServerError where it does not start; it says itself why."""
    names = settings.model_fields_set - _INHERITED
    flags = as_flags({name: getattr(settings, name) for name in names} | _OWN)
    package = __name__.rpartition(".loadgen.")[0]
    # Where the package lies is on the way of this process, but perhaps not of another.
    folder = str(Path(__file__).resolve().parents[1 + package.count(".") + 1])
    way = os.pathsep.join([folder, *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(
        [sys.executable, "-m", package, "serve", *flags],
        env={**os.environ, "PYTHONPATH": way},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        try:
            announced = _announcement(process.stdout)
            yield LocalServer(process.pid, *announced)
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def _announcement(lines: Iterator[str]) -> tuple[str, str]:
    url = grpc = ""
    for line in lines:
        if found := re.match(r"convserve listens on (\S+)", line):
            url = found[1]
        elif found := re.match(r"  grpc: (\S+)", line):
            grpc = found[1]
        elif line.startswith("  docs: "):
            return url, grpc
    raise RemoteServerError("the server did not start")
