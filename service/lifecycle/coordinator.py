"""Lets all workers change what they serve together: prepare, commit, acknowledge.

It runs in the supervisor, or in the only server process. It does not wait, read files or start threads: it
reacts to messages.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Self

from ..config.settings import Settings
from ..errors import ConfigurationError, ConvserveError, ModelNotFound, NothingToServe, shown
from . import messages
from .calls import CallQueue, PendingCalls
from .catalog import Catalog
from .change import Change
from .plans import Failure, ModelReport, State, Target
from .reports import log_change, nothing_to_serve

# Processes that a version may end by being loaded; one may have been ended by somebody else.
MAX_LOST = 2

logger = logging.getLogger(__name__)


class Coordinator:
    """Brings the workers from one generation to the next.

    Each change of a model is a generation. Every worker loads and checks the version; if all succeed, they
    are told to serve it, and otherwise it is dropped everywhere. Once the workers serve, they load one after
    the other, so that only one of them is slower at a time.

    Args:
        send: sends a message to a worker, without waiting.
        repository: the model repository, for messages.
        default_model: the configured default model, which must exist.
        allow_empty: serve nothing if there is nothing, instead of refusing to start.
        polls: changes on disk take effect without a request.
        load_timeout: seconds that a worker may take to load a version.

    Attributes:
        error: the reason why the server cannot start.
        started: the first look at the repository has led to its plans.
    """

    def __init__(
        self,
        send: Callable[[int, messages.ToWorker], None],
        *,
        repository: str,
        default_model: str | None,
        allow_empty: bool,
        polls: bool,
        load_timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send = send
        self._repository = repository
        self._default_model = default_model
        self._allow_empty = allow_empty
        self._polls = polls
        self._load_timeout = load_timeout
        self._clock = clock
        self._catalog = Catalog(allow_empty=allow_empty)
        self._workers: set[int] = set()
        self._released: set[int] = set()
        self._scanner: int | None = None
        self._scans = 0
        self._has_looked = False
        self._dirty: dict[str, None] = {}
        self._change: Change | None = None
        self._lost: Counter[tuple[str, str]] = Counter()
        self._calls = CallQueue()
        self.error: ConvserveError | None = None
        self.started = False

    @classmethod
    def of(cls, settings: Settings, send: Callable[[int, messages.ToWorker], None]) -> Self:
        """The coordinator of a server with these settings."""
        return cls(
            send,
            repository=str(settings.models),
            default_model=settings.default_model,
            allow_empty=settings.allow_empty,
            polls=bool(settings.poll_s),
            load_timeout=settings.load_timeout_s,
        )

    @property
    def state(self) -> State:
        """The state that a new worker loads before it joins."""
        return self._catalog.state

    def receive(self, worker: int, message: messages.FromWorker) -> None:
        """Handle a message."""
        match message:
            case messages.Joined():
                self._join(worker, message)
            case messages.Prepared():
                self._prepared(worker, message)
            case messages.PrepareFailed():
                self._prepare_failed(worker, message)
            case messages.Committed():
                self._committed(worker, message.generation)
            case messages.Found():
                self._found(worker, message)
            case messages.Call():
                self._called(worker, message)
        self._advance()

    def lost(self, worker: int) -> None:
        """Note that a worker has ended."""
        self._workers.discard(worker)
        self._released.discard(worker)
        self._calls.lost(worker)
        change = self._change
        if change is not None:
            if worker in change.later:
                change.later.remove(worker)
            if worker in change.waiting:
                change.waiting.discard(worker)
                if change.committed:
                    self._end_change(change)
                elif change.target is not None:
                    self._lost_while_loading(change, change.target)
        if worker == self._scanner:
            self._scanner = None
            self._appoint_scanner()
        self._advance()

    def tick(self) -> None:
        """Give up on a load that takes too long; to be called about once a second."""
        change = self._change
        if change is None or change.target is None or change.committed:
            return
        if self._clock() >= change.deadline:
            self._abort(change)
            self._fail(change.target, f"it was not loaded within {self._load_timeout:g} s")
            self._advance()

    def _join(self, worker: int, message: messages.Joined) -> None:
        catalog = self._catalog
        if message.generation != catalog.generation:
            self._send(worker, messages.Sync(catalog.state))
            return
        if message.failures and not self._adopt_failures(worker, message):
            return
        self._workers.add(worker)
        for report in catalog.state.reports.values():  # some may have changed while it loaded
            self._send(worker, messages.Report(report))
        self._send(worker, messages.RepositoryProblem(catalog.problem))
        change = self._change
        if change is not None and not change.committed and change.target is not None:
            change.later.append(worker)
            self._tell_next(change)
        if self.started:
            self._release(worker)
        if self._scanner is None:
            self._appoint_scanner()

    def _adopt_failures(self, worker: int, message: messages.Joined) -> bool:
        """A worker cannot load what the others serve. If there are no others, what it loaded is served."""
        reasons = "; ".join(f"{each.name} version {each.version}: {each.reason}" for each in message.failures)
        if self._workers:
            error = NothingToServe(f"this worker cannot load what the others serve: {reasons}")
            self._send(worker, messages.Go(error))
            return False
        logger.error("no worker serves %s any more", reasons)
        catalog = self._catalog
        for name in catalog.drop(message.failures):
            self._dirty[name] = None
            self._send(worker, messages.Commit(catalog.generation, name, catalog.plans.get(name)))
        return True

    def _release(self, worker: int) -> None:
        if worker not in self._released:
            self._released.add(worker)
            self._send(worker, messages.Go())

    def _appoint_scanner(self) -> None:
        if not self._workers:
            return
        self._scanner = min(self._workers)
        if self.started and not self._polls:  # changes wait until somebody asks for them
            self._send(self._scanner, messages.Watch())
        else:
            self._scans += 1
            self._send(self._scanner, messages.Scan(self._scans, trust=not self.started))
        calls = self._calls.first
        if calls is not None and calls.scan is not None:
            self._send(self._scanner, messages.Scan(calls.scan, calls.name, trust=True))

    def _found(self, worker: int, message: messages.Found) -> None:
        if worker != self._scanner:
            return
        catalog = self._catalog
        before = catalog.problem
        for name in catalog.absorb(message):
            self._dirty[name] = None
        if catalog.problem != before and self.started:
            self._tell_all(messages.RepositoryProblem(catalog.problem))
            if catalog.problem is not None:
                logger.error("%s; what is loaded is still served", catalog.problem)
            else:
                logger.info("the model repository can be read again")
        if not self.started:
            self._check_start(message)
        calls = self._calls.scanned(message.number)
        if calls is not None:
            catalog.load_called(calls.name)
            self._dirty[calls.name] = None

    def _check_start(self, message: messages.Found) -> None:
        self._has_looked = True
        if message.problem is not None:
            self.error = ConfigurationError(message.problem)
        elif self._default_model is not None and message.models and self._default_model not in message.models:
            self.error = ConfigurationError(
                f"the default model {self._default_model!r} is not in {self._repository}; "
                f"available: {', '.join(message.models)}"
            )

    def _called(self, worker: int, message: messages.Call) -> None:
        try:
            if self._calls.add(worker, message):
                self._begin_calls()
        except ConvserveError as error:
            self._send(worker, messages.Answer(message.number, error))

    def _begin_calls(self) -> None:
        calls = self._calls.first
        if calls is None:
            return
        if calls.action is messages.Action.UNLOAD:
            if self._catalog.knows(calls.name):
                self._catalog.unload_called(calls.name)
                self._dirty[calls.name] = None
            return
        self._scans += 1
        calls.scan = self._scans
        if self._scanner is not None:
            self._send(self._scanner, messages.Scan(calls.scan, calls.name, trust=True))

    def _end_calls(self) -> None:
        calls = self._calls.end()
        error = self._error_of(calls)
        for worker, number in calls.callers:
            if worker in self._workers:
                self._send(worker, messages.Answer(number, error))
        self._begin_calls()

    def _error_of(self, calls: PendingCalls) -> ConvserveError | None:
        if not self._catalog.knows(calls.name):
            return ModelNotFound(f"the model repository has no model {shown(calls.name)}")
        return self._catalog.error(calls.name) if calls.action is messages.Action.LOAD else None

    def _advance(self) -> None:
        """Begin the next change, if none is being made, and end the calls that wait for nothing more."""
        if self.error is not None:
            return
        while self._change is None and self._workers:
            if self._dirty:
                name = next(iter(self._dirty))
                del self._dirty[name]
                self._reconcile(name)
            elif not self.started:
                if not self._has_looked or not self._start():
                    return
            elif self._calls.first is not None and self._calls.first.scan is None:
                self._end_calls()
            else:
                return

    def _start(self) -> bool:
        """Let the workers serve; False if there is nothing to serve."""
        catalog = self._catalog
        if not catalog.plans and not self._allow_empty:
            failures = [each for report in catalog.state.reports.values() for each in report.failures]
            self.error = NothingToServe(nothing_to_serve(self._repository, failures))
            return False
        self.started = True
        for report in catalog.state.reports.values():
            log_change(ModelReport(report.name), report)
        if self._default_model is not None and self._default_model not in catalog.plans:
            logger.error("not ready: the default model %r is not served", self._default_model)
        for worker in sorted(self._workers):
            self._release(worker)
        return True

    def _reconcile(self, name: str) -> None:
        catalog = self._catalog
        target = catalog.missing(name)
        if target is None and not catalog.differs(name):
            self._report(name)
            return
        generation = catalog.generation + 1
        self._change = Change(generation, name, target, self._clock() + self._load_timeout)
        if target is None:
            self._commit(self._change)
            return
        self._change.later = sorted(self._workers)
        self._tell_next(self._change)

    def _tell_next(self, change: Change) -> None:
        """Let the next worker load, or all of them while none serves yet."""
        assert change.target is not None
        while change.later and (not self.started or not change.waiting):
            worker = change.later.pop(0)
            change.waiting.add(worker)
            change.deadline = self._clock() + self._load_timeout
            self._send(worker, messages.Prepare(change.generation, change.target))
        if not change.waiting:
            self._commit(change)

    def _prepared(self, worker: int, message: messages.Prepared) -> None:
        change = self._change
        if change is None or change.committed or message.generation != change.generation:
            self._send(worker, messages.Abort(message.generation))
            return
        change.waiting.discard(worker)
        if change.loaded is None:
            change.loaded = message.loaded
        elif change.loaded.digest != message.loaded.digest:
            assert change.target is not None
            self._abort(change)
            self._catalog.fail(
                Failure(change.name, change.target.version, "its files changed while the workers loaded them")
            )
            return
        self._tell_next(change)

    def _prepare_failed(self, worker: int, message: messages.PrepareFailed) -> None:
        change, failure = self._change, message.failure
        if change is None or change.committed or message.generation != change.generation:
            return
        change.waiting.discard(worker)
        self._abort(change)
        self._catalog.fail(failure)
        if message.fatal and not self.started:
            self.error = ConfigurationError(failure.reason)

    def _lost_while_loading(self, change: Change, target: Target) -> None:
        key = (target.name, target.version)
        self._lost[key] += 1
        self._abort(change)
        if self._lost[key] >= MAX_LOST:
            del self._lost[key]
            self._fail(target, "the process that loaded it ended")

    def _fail(self, target: Target, reason: str) -> None:
        signature = self._catalog.signature(target.name, target.version)
        self._catalog.fail(Failure(target.name, target.version, reason, signature))

    def _abort(self, change: Change) -> None:
        """Drop what was prepared, and look at the model again."""
        self._change = None
        self._tell_all(messages.Abort(change.generation))
        self._catalog.generation = change.generation
        self._dirty[change.name] = None

    def _commit(self, change: Change) -> None:
        catalog = self._catalog
        plan = catalog.next_plan(change.name, change.generation, change.loaded)
        catalog.generation = change.generation
        catalog.commit(change.name, plan)
        if change.target is not None:
            self._lost.pop((change.name, change.target.version), None)
        change.committed = True
        change.waiting = set(self._workers)
        self._dirty[change.name] = None
        for worker in sorted(self._workers):
            self._send(worker, messages.Commit(change.generation, change.name, plan))
        self._end_change(change)

    def _committed(self, worker: int, generation: int) -> None:
        change = self._change
        if change is not None and change.committed and change.generation == generation:
            change.waiting.discard(worker)
            self._end_change(change)

    def _end_change(self, change: Change) -> None:
        if not change.waiting:
            self._change = None

    def _report(self, name: str) -> None:
        changed = self._catalog.report(name)
        if changed is not None:
            before, after = changed
            if self.started:  # otherwise the error that ends the server says the same
                log_change(before, after)
            self._tell_all(messages.Report(after))

    def _tell_all(self, message: messages.ToWorker) -> None:
        for worker in sorted(self._workers):
            self._send(worker, message)
