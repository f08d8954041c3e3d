"""Runs jobs in processes, which end when they have been idle for a while."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar, cast

from ..errors import InferenceFailed
from .job_process import JobProcess, ProcessEnded, Raised
from .template import Template, TemplateEnded

T = TypeVar("T")

# An idle process keeps some memory; to fork another takes some milliseconds.
IDLE_SECONDS = 10.0
# While no process can be forked, every large request would be a line in the log.
LOG_SECONDS = 60.0

logger = logging.getLogger(__name__)


class ProcessPool:
    """As many processes as jobs run at a time; the caller bounds their number.

    Jobs run in the calling thread if there is no template, or if it has ended.
    """

    def __init__(self, template: Template | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._template = template
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: list[JobProcess] = []  # the last was used last
        self._closed = False
        self._in_threads = 0  # jobs since the last line in the log
        self._logged = -LOG_SECONDS

    def call(self, job: Callable[[], T], stopped: Callable[[], bool]) -> T:
        """Call a function in a process; returns or raises what it does. Blocks.

        Args:
            job: it, its arguments and its result can be pickled.
            stopped: becomes true when the result is not wanted any more; the process is killed then.

        Raises:
            CallStopped: the result was not wanted any more.
            InferenceFailed: the process has crashed, or was killed.
        """
        process = self._take()
        if process is None:
            return job()
        try:
            answer = process.call(job, lambda: self._closed or stopped())
        except ProcessEnded:
            logger.error("process %d has ended in the middle of a client's data", process.pid)
            self._end(process)
            raise InferenceFailed("the process that read the request has ended") from None
        except BaseException:
            self._end(process)
            raise
        process.used = self._clock()
        with self._lock:
            self._idle.append(process)
        if isinstance(answer, Raised):
            raise answer.error
        return cast("T", answer.value)

    def check(self) -> None:
        """End the processes that have been idle for long; to be called once a second."""
        latest = self._clock() - IDLE_SECONDS
        with self._lock:
            ended = [process for process in self._idle if process.used < latest]
            self._idle = [process for process in self._idle if process.used >= latest]
        for process in ended:
            self._end(process)

    def stop(self) -> None:
        """Stop the calls that run."""
        self._closed = True

    def close(self) -> None:
        """End all processes; no calls run any more."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()
        if self._template is not None:
            self._template.close()

    def _take(self) -> JobProcess | None:
        """An idle process, or another one; None if there can be none."""
        if self._template is None:
            return None
        while True:
            with self._lock:
                process = self._idle.pop() if self._idle else None
            if process is None:
                break
            if not process.has_ended:
                return process
            self._end(process)
        try:
            return self._template.fork()
        except TemplateEnded:
            self._log_missing_process()
            return None

    def _log_missing_process(self) -> None:
        with self._lock:
            self._in_threads += 1
            now = self._clock()
            if now - self._logged < LOG_SECONDS:
                return
            jobs, self._in_threads, self._logged = self._in_threads, 0, now
        logger.error(
            "no process can be forked; the server decodes and parses in threads (jobs since the last "
            "such line: %d)",
            jobs,
        )

    def _end(self, process: JobProcess) -> None:
        assert self._template is not None  # it has forked the process
        self._template.end(process)
