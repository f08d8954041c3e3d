"""A real server process on a loopback port, from its start to its end."""

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
PYTHON_M_SERVICE = (sys.executable, "-m", "service")


def environment(own: Mapping[str, str] | None = None) -> dict[str, str]:
    """The developer's environment, with `own` and without what would steer the server or its clients.

    No gRPC where nobody asks for it: many servers run at a time, and its usual port is one.
    """
    foreign = ("convserve_", "http_proxy", "https_proxy", "all_proxy", "ort_")
    inherited = {name: value for name, value in os.environ.items() if not name.lower().startswith(foreign)}
    return {**inherited, "CONVSERVE_GRPC_PORT": "0", **(own or {})}


def convserve(
    *arguments: str | Path, own: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`python -m service …`, run to its end."""
    return subprocess.run(
        [*PYTHON_M_SERVICE, *map(str, arguments)],
        cwd=ROOT,
        env=environment(own),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )


class ServerProcess:
    """`convserve serve --port 0`, which has announced itself when the block begins and is gone at its end.

    It logs only what is amiss, so that an empty `stderr` says that nothing was.

    Args:
        models: the repository to serve; None for the one that ships with the project.
        command, cwd, own: another way to call `convserve`, from elsewhere, with these variables set.
        until_announced: without it the block begins as soon as the process has been started.
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
        self._temporary = TemporaryDirectory()  # where workers share their metrics
        self._process = subprocess.Popen(
            self._command,
            cwd=self.cwd,
            env=environment({"TMPDIR": self._temporary.name, **self._own}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a group of its own, as a terminal would give it
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
    def temporary(self) -> Path:
        """Its folder for temporary files."""
        return Path(self._temporary.name)

    @property
    def leftovers(self) -> list[str]:
        """What it has left there."""
        return os.listdir(self.temporary)

    def send(self, number: signal.Signals, *, to_group: bool = False) -> None:
        """A signal to the process, or as by a terminal to all of its group."""
        (os.killpg if to_group else os.kill)(self.pid, number)

    def wait(self) -> int:
        """The return code, once it and all of its workers have ended."""
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
        if not self.stderr.ended:  # so some process of the group is left, and the number is still its own
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(DEADLINE)
        for lines in (self.stdout, self.stderr):
            lines.close()
        self._temporary.cleanup()
