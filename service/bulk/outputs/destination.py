"""Standard output, or a file that is complete or absent."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from ...errors import ConfigurationError, OutputFailed
from ..inputs.source import reason
from ..rows import Rows
from .finished_rows import FinishedRows
from .row_format import DamagedOutput, RowFormat

PARTIAL_SUFFIX = ".part"
# Rows that are encoded together are written after this time at the latest, so that a slow model loses few.
MAX_WAIT_SECONDS = 5.0


class Destination(Protocol):
    """Takes the rows of a run.

    Attributes:
        finished: the rows of an earlier run.
        for_terminal: the rows may be shown by a terminal.
        has_errors: files that could not be classified have rows too.
    """

    finished: FinishedRows
    for_terminal: bool
    has_errors: bool

    @property
    def kept(self) -> int:
        """The rows that outlive a run that is not completed."""

    def begin(self, rows: RowFormat) -> None:
        """Write the header, if there is one and it has not been written."""

    def write(self, rows: Rows) -> None:
        """Write rows, now or later.

        Raises:
            OutputFailed: they cannot be written.
            BrokenPipeError: nobody reads them.
        """

    def finish(self) -> None:
        """Write all rows and complete the output. Raises as `write`."""

    def close(self) -> None:
        """End without completing the output; the rows so far are kept if they can be."""


class StreamDestination:
    """A stream, such as standard output, a FIFO or a device.

    Args:
        name: the stream's name in messages.
    """

    for_terminal = True

    def __init__(self, stream: BinaryIO, name: str, kind: type[RowFormat]) -> None:
        self.has_errors = kind.has_errors
        self.finished = FinishedRows()
        self._stream = stream
        self._name = name
        self._format: RowFormat | None = None

    @property
    def kept(self) -> int:
        return 0

    def begin(self, rows: RowFormat) -> None:
        self._format = rows
        self._write(rows.header())

    def write(self, rows: Rows) -> None:
        assert self._format is not None  # `begin` has been called
        self._write(self._format.encode([rows]))

    def finish(self) -> None:
        pass

    def close(self) -> None:
        pass

    def _write(self, content: bytes) -> None:
        with _reported(self._name):
            self._stream.write(content)
            self._stream.flush()


class FileDestination:
    """A file that appears under its name when all rows have been written.

    Until then the rows are in a file beside it, whose name ends with `.part`. Each run appends to that file,
    so its rows outlive any end of the process. A lock keeps a second run from writing to it.

    Args:
        path: the file; a symbolic link is followed.
        kind: the class of the format.
        resume: keep the rows of an interrupted run, or of a complete output.

    Raises:
        ConfigurationError: the file cannot be written, rows of an interrupted run would be lost, or the rows
            to keep are of another format.

    Attributes:
        finished: the rows of an earlier run.
        partial: the path of the unfinished rows.
        kept: the rows that outlive a run that is not completed.
        is_resumable: a later run can go on with them.
    """

    for_terminal = False

    def __init__(self, path: Path, kind: type[RowFormat], *, resume: bool) -> None:
        self.has_errors, self.is_resumable = kind.has_errors, kind.is_resumable
        self._target = Path(os.path.realpath(path))
        self.partial = self._target.with_name(self._target.name + PARTIAL_SUFFIX)
        self._shown = path
        self._kind = kind
        self._format: RowFormat | None = None
        self._waiting: list[Rows] = []
        self._rows_waiting = 0
        self._flushed = float("-inf")  # the first rows are written at once: a full disk is noticed
        self._descriptor = self._opened()
        # True while the partial file holds no rows that exist only there.
        self._disposable = not self._size
        self.kept = 0
        try:
            self.finished = self._kept() if resume else self._nothing_kept()
        except BaseException:
            self.close()
            raise

    def begin(self, rows: RowFormat) -> None:
        self._format = rows
        end = self.finished.end
        with _reported(self.partial):
            os.ftruncate(self._descriptor, end)
            os.lseek(self._descriptor, end, os.SEEK_SET)
            with suppress(FileNotFoundError):
                os.fchmod(self._descriptor, stat.S_IMODE(self._target.stat().st_mode))
        if not end:
            self._append(rows.header())

    def write(self, rows: Rows) -> None:
        assert self._format is not None  # `begin` has been called
        self._waiting.append(rows)
        self._rows_waiting += len(rows)
        if (
            self._rows_waiting >= self._format.rows_at_once
            or time.monotonic() - self._flushed > MAX_WAIT_SECONDS
        ):
            self._flush()

    def finish(self) -> None:
        assert self._format is not None  # `begin` has been called
        self._flush()
        with _reported(self._shown):
            if self._format.is_stream:
                os.fsync(self._descriptor)
                os.replace(self.partial, self._target)
            else:
                self._complete(self._format)
        os.close(self._descriptor)
        self._descriptor = -1

    def close(self) -> None:
        if self._descriptor < 0:
            return
        with suppress(OutputFailed):
            self._flush()
        if self._disposable:
            with suppress(OSError):
                self.partial.unlink()
        os.close(self._descriptor)
        self._descriptor = -1

    @property
    def _size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def _opened(self) -> int:
        """The descriptor of the partial file, which is locked."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        while True:
            try:
                descriptor = os.open(self.partial, flags, 0o666)
            except OSError as error:
                raise ConfigurationError(f"{self._shown} cannot be written: {reason(error)}") from error
            try:
                self._lock(descriptor)
                # Another run may have renamed or removed the file before it was locked.
                with suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(descriptor), self.partial.stat()):
                        return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ConfigurationError(f"{self.partial} is not a regular file: move it away")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(f"another run of this command is writing {self.partial}") from error
        except OSError as error:
            raise ConfigurationError(f"{self.partial} cannot be locked: {reason(error)}") from error

    def _nothing_kept(self) -> FinishedRows:
        """
        Raises:
            ConfigurationError: an interrupted run has left rows.
        """
        if self._kind.is_resumable and self._size and self._has_rows():
            raise ConfigurationError(
                f"{self.partial} has the rows of an interrupted run: add --resume to go on with it, "
                "or delete it to begin anew"
            )
        self._disposable = True
        return FinishedRows()

    def _has_rows(self) -> bool:
        with open(self._descriptor, "rb", closefd=False) as file, suppress(DamagedOutput):
            return next(iter(self._kind.saved(file)), None) is not None
        return True  # whatever it is, it may be of use to its owner

    def _kept(self) -> FinishedRows:
        """The rows of the partial file, or of the complete output if there is no partial file."""
        source = self.partial if self._size else self._target
        try:
            if source == self._target and self._target.exists():
                self._reopen()
            with open(self._descriptor, "rb", closefd=False) as file:
                file.seek(0)
                finished = FinishedRows(self._kind.saved(file))
        except DamagedOutput as error:
            raise ConfigurationError(
                f"{source} cannot be resumed as {self._kind.name}: {error}; "
                "run without --resume, or with another -o"
            ) from error
        except OSError as error:
            raise ConfigurationError(f"{source} cannot be resumed: {reason(error)}") from error
        self._disposable = self._disposable or not len(finished)
        self.kept = len(finished)
        return finished

    def _reopen(self) -> None:
        """Copy the rows of the complete output to the partial file."""
        if not self._kind.is_stream:
            self._kind.reopen(self._target, self.partial)
            return
        with self._target.open("rb") as source, open(self._descriptor, "wb", closefd=False) as copy:
            while block := source.read(1 << 20):
                copy.write(block)

    def _complete(self, rows: RowFormat) -> None:
        new = self.partial.with_name(self.partial.name + ".new")
        try:
            rows.complete(self.partial, new)
            new.chmod(stat.S_IMODE(os.fstat(self._descriptor).st_mode))
            _sync(new)
            os.replace(new, self._target)
        finally:
            with suppress(FileNotFoundError):
                new.unlink()
        self.partial.unlink()

    def _flush(self) -> None:
        self._flushed = time.monotonic()
        if self._waiting and self._format is not None:
            self._disposable = False
            self._append(self._format.encode(self._waiting))
            self.kept += self._rows_waiting
            self._waiting, self._rows_waiting = [], 0

    def _append(self, content: bytes) -> None:
        remaining = memoryview(content)
        with _reported(self.partial):
            while remaining:
                remaining = remaining[os.write(self._descriptor, remaining) :]


@contextmanager
def _reported(name: Path | str) -> Iterator[None]:
    """
    Raises:
        OutputFailed: the block raises OSError, other than BrokenPipeError.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed(f"{name} cannot be written: {reason(error)}") from error


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
