"""Runs a real server process on a loopback port."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from tests.support.server.output_lines import DEADLINE, Lines

ROOT = Path(__file__).resolve().parents[3]
# Enables gRPC on a free port; the flag takes precedence over the variable in `environment`.
FREE_GRPC_PORT = ("--grpc-port", "-1")
PYTHON_M_SERVICE = (sys.executable, "-m", "service")
COVERAGE_GRACE = 5.0  # seconds for a server to end by itself when coverage is measured


def environment(own: Mapping[str, str] | None = None) -> dict[str, str]:
    """The developer's environment with `own`, without variables that affect the server or its clients.

    gRPC is off by default: many servers run at a time, and they would share its default port.
    """
    foreign = ("convserve_", "http_proxy", "https_proxy", "all_proxy", "ort_")
    inherited = {name: value for name, value in os.environ.items() if not name.lower().startswith(foreign)}
    return {**inherited, "CONVSERVE_GRPC_PORT": "0", **(own or {})}


def convserve(
    *arguments: str | Path, own: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs `python -m service …` to its end."""
    return subprocess.run(
        [*PYTHON_M_SERVICE, *map(str, arguments)],
        cwd=ROOT,
        env=environment(own),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )


class ServerProcess:
    """Runs `convserve serve --port 0`; it is ready when the block begins, and is stopped at its end.

    It logs only warnings and errors, so an empty `stderr` means that there were none.

    Args:
        models: the repository to serve; None for the one shipped with the project.
        command, cwd, own: another command, working directory and additional environment variables.
        until_announced: if False, the block begins as soon as the process has started.
    """

    def __init__(
        self,
        models: Path | None,
        *arguments: str,
        command: Sequence[str] = PYTHON_M_SERVICE,
        cwd: Path = ROOT,
        own: Mapping[str, str] | None = None,
        until_announced: bool = True,
    ) -> None:
        repository = () if models is None else ("--models", str(models))
        quiet = ("--log-level", "warning")
        self._command = [*command, "serve", "--port", "0", *quiet, *repository, *arguments]
        self.cwd = cwd
        self._own = own or {}
        self._until_announced = until_announced

    def __enter__(self) -> Self:
        self._temporary = TemporaryDirectory()  # for the metrics that workers share
        self._process = subprocess.Popen(
            self._command,
            cwd=self.cwd,
            env=environment({"TMPDIR": self._temporary.name, **self._own}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a process group, as a shell would give it
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self.stdout = Lines(self._process.stdout)
        self.stderr = Lines(self._process.stderr)
        try:
            if self._until_announced:
                self.url = self._announced_url()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.partition("://")[2].rpartition(":")
        return host, int(port)

    @property
    def grpc_address(self) -> str:
        return self.stdout.wait_for(r"^  grpc: (\S+)$")[1]

    @property
    def temporary(self) -> Path:
        """The folder for temporary files of the process."""
        return Path(self._temporary.name)

    @property
    def leftovers(self) -> list[str]:
        """The names of the files in the temporary folder."""
        return os.listdir(self.temporary)

    def send(self, number: signal.Signals, *, to_group: bool = False) -> None:
        """Sends a signal to the process, or, as a terminal does, to its whole group."""
        (os.killpg if to_group else os.kill)(self.pid, number)

    def wait(self) -> int:
        """Waits for the process and its workers to end; returns the exit code."""
        code = self._process.wait(DEADLINE)
        self.stdout.wait_for_end()
        self.stderr.wait_for_end()
        return code

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.send(number)
        return self.wait()

    def _announced_url(self) -> str:
        self.stdout.wait_for(r"^  docs: .*\n")
        return self.stdout.wait_for(r"^convserve listens on (https?://\S+)$")[1]

    def _end(self) -> None:
        if not self.stderr.ended:  # a process of the group still runs, so the group id is still valid
            with suppress(ProcessLookupError):
                if "COVERAGE_PROCESS_CONFIG" in os.environ:  # a killed process writes no coverage data
                    self._process.terminate()
                    with suppress(subprocess.TimeoutExpired):
                        self._process.wait(COVERAGE_GRACE)
                os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(DEADLINE)
        for lines in (self.stdout, self.stderr):
            lines.close()
        self._temporary.cleanup()
