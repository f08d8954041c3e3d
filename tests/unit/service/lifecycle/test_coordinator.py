from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from service.errors import ConfigurationError, InvalidModel, LoadConflict, ModelNotFound, NothingToServe
from service.lifecycle.calls import MAX_CALLS
from service.lifecycle.coordinator import Coordinator
from service.lifecycle.messages import (
    Abort,
    Action,
    Answer,
    Call,
    Commit,
    Committed,
    Found,
    Go,
    Joined,
    Prepare,
    Prepared,
    PrepareFailed,
    Report,
    RepositoryProblem,
    Scan,
    Sync,
    ToWorker,
)
from service.lifecycle.plans import Failure, Loaded, State
from service.repository.model_config import ModelConfig
from service.repository.scan import ModelFound, VersionFound
from tests.support.manual_clock import ManualClock


def versions_of(state: State) -> dict[str, Sequence[str]]:
    return {name: tuple(each.version for each in plan.versions) for name, plan in state.plans.items()}


class Workers:
    """Workers that do what the coordinator says, one message at a time."""

    def __init__(self, count: int = 2, **options: object) -> None:
        self.clock = ManualClock()
        self.inbox: dict[int, list[ToWorker]] = {}
        defaults = {
            "repository": "models",
            "default_model": None,
            "allow_empty": False,
            "polls": True,
            "load_timeout": 60.0,
        }
        self.coordinator = Coordinator(
            lambda worker, message: self.inbox[worker].append(message),
            clock=self.clock,
            **{**defaults, **options},  # type: ignore[arg-type]
        )
        self.failing: dict[int, str] = {}
        self.digests: dict[int, str] = {}
        self.served: dict[int, dict[str, Sequence[str]]] = {}
        self.generations: dict[int, int] = {}
        self.loads: list[tuple[int, str]] = []
        self.answers: list[Answer] = []
        for worker in range(count):
            self.start(worker)

    def start(self, worker: int) -> None:
        self.inbox[worker] = []
        state = self.coordinator.state
        self.served[worker] = versions_of(state)
        self.coordinator.receive(worker, Joined(state.generation))

    def kill(self, worker: int) -> None:
        del self.inbox[worker], self.served[worker]
        self.coordinator.lost(worker)

    def take(self, worker: int, kind: type[ToWorker]) -> ToWorker:
        """Remove the next message, which is of this kind."""
        message = self.inbox[worker].pop(0)
        assert isinstance(message, kind), message
        return message

    def scanned(self, *models: ModelFound, gone: str | None = None, worker: int = 0) -> None:
        """Let a worker look at the disk."""
        number = None
        for message in list(self.inbox[worker]):
            if isinstance(message, Scan):
                number = message.number
                self.inbox[worker].remove(message)
        found: dict[str, ModelFound | None] = {model.name: model for model in models}
        if gone is not None:
            found[gone] = None
        self.coordinator.receive(worker, Found(number, found, {}))

    def settle(self) -> None:
        """Let all workers handle their messages, except for those that ask them to look at the disk."""
        while True:
            todo = [(w, each) for w, box in self.inbox.items() for each in box if not isinstance(each, Scan)]
            if not todo:
                return
            worker, message = todo[0]
            self.inbox[worker].remove(message)
            self.handle(worker, message)

    def handle(self, worker: int, message: ToWorker) -> None:
        match message:
            case Prepare(generation, target):
                self.loads.append((worker, target.version))
                if worker in self.failing:
                    failure = Failure(target.name, target.version, self.failing[worker], f"s{target.version}")
                    self.coordinator.receive(worker, PrepareFailed(generation, failure))
                else:
                    digest = self.digests.get(worker, f"d{target.version}")
                    loaded = Loaded(target.version, target.path, f"s{target.version}", digest)
                    self.coordinator.receive(worker, Prepared(generation, loaded))
            case Commit(generation, name, plan):
                versions = () if plan is None else tuple(each.version for each in plan.versions)
                self.served[worker] = {**self.served[worker], name: versions}
                self.coordinator.receive(worker, Committed(generation))
            case Sync(state):
                self.served[worker] = versions_of(state)
                self.coordinator.receive(worker, Joined(state.generation))
            case Answer():
                self.answers.append(message)
            case Go() | Report() | RepositoryProblem() | Abort():
                pass


def model(*versions: int, name: str = "a", signature: str = "s", **config: object) -> ModelFound:
    return ModelFound(
        name,
        tuple(VersionFound(str(v), f"{name}/{v}", f"{signature}{v}", settled=True) for v in versions),
        ModelConfig.model_validate(config),
    )


def started(*versions: int, count: int = 2, **options: object) -> Workers:
    workers = Workers(count, **options)
    workers.scanned(model(*versions))
    workers.settle()
    workers.loads.clear()
    assert workers.coordinator.started
    return workers


def serve(workers: Workers, *versions: str) -> bool:
    return all(served.get("a", ()) == versions for served in workers.served.values())


def test_workers_listen_when_all_serve_what_lies_on_disk() -> None:
    workers = Workers(3)
    workers.scanned(model(1, 2), model(5, name="b"))
    assert not any(isinstance(message, Go) for box in workers.inbox.values() for message in box)
    for worker in range(3):  # nobody serves yet, so all load at the same time
        assert any(isinstance(message, Prepare) for message in workers.inbox[worker])
    workers.settle()
    assert workers.coordinator.started
    assert serve(workers, "2")
    assert all(served["b"] == ("5",) for served in workers.served.values())


def test_new_version_is_loaded_by_one_worker_after_the_other_and_then_served_by_all() -> None:
    workers = started(1)
    workers.scanned(model(1, 2))
    prepare = workers.take(0, Prepare)
    assert workers.inbox[1] == []
    workers.handle(0, prepare)
    prepare = workers.take(1, Prepare)
    assert serve(workers, "1")
    workers.handle(1, prepare)
    assert isinstance(workers.inbox[0][0], Commit)
    workers.settle()
    assert serve(workers, "2")
    assert workers.loads == [(0, "2"), (1, "2")]


@pytest.mark.parametrize("failing", [0, 1])
def test_nobody_serves_a_version_that_one_worker_cannot_load(
    failing: int, caplog: pytest.LogCaptureFixture
) -> None:
    workers = started(1)
    workers.failing = {failing: "too large"}
    workers.scanned(model(1, 2))
    workers.settle()
    assert serve(workers, "1")
    [failure] = workers.coordinator.state.reports["a"].failures
    assert (failure.version, failure.reason) == ("2", "too large")
    assert "a version 2 is not served: too large" in caplog.text
    workers.failing = {}
    workers.scanned(model(1, 2))
    workers.settle()
    assert serve(workers, "1")  # the same bytes are not tried again
    workers.scanned(model(1, 2, signature="t"))
    workers.settle()
    assert serve(workers, "2")
    assert workers.coordinator.state.reports["a"].failures == ()


def test_workers_that_load_different_bytes_serve_none_of_them() -> None:
    workers = started(1)
    workers.digests = {1: "other"}
    workers.scanned(model(1, 2))
    workers.settle()
    assert serve(workers, "1")
    workers.digests = {}
    workers.scanned(model(1, 2))
    workers.settle()
    assert serve(workers, "2")


def test_worker_that_ends_after_it_has_prepared_does_not_stop_the_change() -> None:
    workers = started(1)
    workers.scanned(model(1, 2))
    workers.handle(0, workers.take(0, Prepare))
    workers.kill(0)
    workers.settle()
    assert serve(workers, "2")
    workers.start(0)
    workers.settle()
    assert serve(workers, "2")


@pytest.mark.parametrize("ends", [0, 1])
def test_version_that_ends_one_process_is_tried_again_and_one_that_ends_two_is_not(ends: int) -> None:
    workers = started(1, count=3)
    workers.scanned(model(1, 2))
    for worker in range(ends):
        workers.handle(worker, workers.take(worker, Prepare))
    workers.kill(ends)
    assert serve(workers, "1")
    first = min(workers.inbox)
    while not isinstance(workers.inbox[first][0], Prepare):
        workers.inbox[first].pop(0)
    workers.kill(first)
    workers.settle()
    assert serve(workers, "1")
    [failure] = workers.coordinator.state.reports["a"].failures
    assert failure.reason == "the process that loaded it ended"


def test_new_worker_starts_with_what_is_served_and_not_with_what_lies_on_disk() -> None:
    workers = started(1)
    workers.failing = {0: "broken"}
    workers.scanned(model(1, 2))
    workers.settle()
    workers.kill(1)
    workers.start(1)
    workers.settle()
    assert serve(workers, "1")


@pytest.mark.parametrize("worker", [0, 1])
def test_worker_that_ends_while_the_others_commit(worker: int) -> None:
    workers = started(1)
    workers.scanned(model(1, 2))
    for each in (0, 1):
        workers.handle(each, workers.take(each, Prepare))
    workers.kill(worker)
    workers.settle()
    workers.start(worker)
    workers.settle()
    assert serve(workers, "2")
    workers.scanned(model(1, 2, 3), worker=1 - worker)
    workers.settle()
    assert serve(workers, "3")


def test_worker_that_loads_while_a_change_is_made_catches_up_before_it_listens() -> None:
    workers = started(1)
    workers.kill(1)
    late = workers.coordinator.state
    workers.scanned(model(1, 2))
    workers.settle()
    workers.inbox[1], workers.served[1] = [], {"a": ("1",)}
    workers.coordinator.receive(1, Joined(late.generation))
    assert isinstance(workers.inbox[1][0], Sync)
    workers.settle()
    assert serve(workers, "2")


def test_worker_that_joins_during_a_change_takes_part_in_it() -> None:
    workers = started(1)
    workers.kill(1)
    workers.scanned(model(1, 2))
    prepare = workers.take(0, Prepare)
    workers.start(1)
    workers.handle(0, prepare)
    workers.settle()
    assert serve(workers, "2")


def test_last_worker_may_fail_to_load_what_was_served() -> None:
    workers = started(1, count=1)
    state = workers.coordinator.state
    workers.kill(0)
    workers.inbox[0], workers.served[0] = [], {}
    workers.coordinator.receive(0, Joined(state.generation, (Failure("a", "1", "its files are gone"),)))
    workers.scanned(model(2))
    workers.settle()
    assert serve(workers, "2")


def test_worker_that_cannot_load_what_others_serve_ends() -> None:
    workers = started(1)
    state = workers.coordinator.state
    workers.kill(1)
    workers.inbox[1], workers.served[1] = [], {}
    workers.coordinator.receive(1, Joined(state.generation, (Failure("a", "1", "its files are gone"),)))
    go = workers.take(1, Go)
    assert isinstance(go, Go)
    assert "cannot load what the others serve: a version 1: its files are gone" in str(go.error)
    assert workers.served[0] == {"a": ("1",)}


def test_load_that_takes_too_long_is_given_up() -> None:
    workers = started(1)
    workers.scanned(model(1, 2))
    prepare = workers.take(0, Prepare)
    workers.clock.advance(61)
    workers.coordinator.tick()
    assert isinstance(workers.inbox[0][0], Abort)
    workers.handle(0, prepare)  # it is done at last
    workers.settle()
    assert serve(workers, "1")
    assert "not loaded within 60 s" in workers.coordinator.state.reports["a"].failures[0].reason


def test_load_and_unload_are_answered_when_every_worker_has_done_it() -> None:
    workers = started(1)
    workers.coordinator.receive(1, Call(7, Action.UNLOAD, "a"))
    assert workers.answers == []
    workers.settle()
    assert (workers.answers, serve(workers)) == ([Answer(7, None)], True)
    workers.scanned(model(1, 2))
    workers.settle()
    assert serve(workers)  # it stays unloaded
    workers.coordinator.receive(1, Call(8, Action.LOAD, "a"))
    workers.scanned(model(1, 2))
    workers.settle()
    assert (workers.answers[1:], serve(workers, "2")) == ([Answer(8, None)], True)


def test_failed_load_has_the_same_reason_each_time() -> None:
    workers = started(1)
    workers.failing = {1: "too large"}
    for _ in range(2):
        workers.coordinator.receive(0, Call(1, Action.LOAD, "a"))
        workers.scanned(model(1, 2))
        workers.settle()
    assert [str(each.error) for each in workers.answers] == ["a version 2 is not served: too large"] * 2
    assert {type(each.error) for each in workers.answers} == {InvalidModel}
    assert serve(workers, "1")


@pytest.mark.parametrize("action", Action)
def test_call_for_an_unknown_model_is_an_error(action: Action) -> None:
    workers = started(1)
    workers.coordinator.receive(0, Call(1, action, "../b"))
    workers.scanned(gone="../b")
    workers.settle()
    [answer] = workers.answers
    assert isinstance(answer.error, ModelNotFound)


def test_equal_calls_that_wait_end_together_and_too_many_are_refused() -> None:
    workers = started(1)
    for number in range(MAX_CALLS + 1):
        workers.coordinator.receive(0, Call(number, Action.LOAD, "a"))
    workers.scanned(model(1, 2))
    workers.scanned(model(1, 2))
    workers.settle()
    while any(isinstance(message, Scan) for message in workers.inbox[0]):
        workers.scanned(model(1, 2))
        workers.settle()
    assert len(workers.answers) == MAX_CALLS + 1
    assert [type(each.error) for each in workers.answers if each.error is not None] == [LoadConflict]
    assert workers.loads == [(0, "2"), (1, "2")]


def test_next_worker_looks_at_the_disk_when_the_first_has_ended() -> None:
    workers = started(1)
    workers.coordinator.receive(1, Call(1, Action.LOAD, "a"))
    workers.kill(0)
    scans = [message for message in workers.inbox[1] if isinstance(message, Scan)]
    assert [scan.name for scan in scans] == [None, "a"]
    workers.scanned(model(1, 2), worker=1)
    workers.settle()
    assert workers.answers == [Answer(1, None)]
    assert serve(workers, "2")


def test_storage_that_vanishes_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    workers = started(1)
    for problem in ("the model repository cannot be read: Stale file handle", None):
        workers.coordinator.receive(0, Found(None, {}, {}, problem))
        workers.settle()
        assert serve(workers, "1")
        assert workers.coordinator.state.problem == problem
    workers.scanned(gone="a")
    workers.settle()
    assert serve(workers, "1")
    assert "its folder has vanished" in (workers.coordinator.state.reports["a"].problem or "")
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 2


def test_other_bytes_under_a_served_number_are_refused_with_both_digests() -> None:
    workers = started(1)
    changed = model(1, signature="t")
    workers.coordinator.receive(0, Found(None, {"a": changed}, {("a", "1"): "e1"}))
    workers.settle()
    assert (serve(workers, "1"), workers.loads) == (True, [])
    problem = workers.coordinator.state.reports["a"].problem or ""
    assert "digest d1" in problem
    assert "digest e1" in problem
    workers.coordinator.receive(0, Found(None, {"a": changed}, {("a", "1"): "d1"}))
    assert workers.coordinator.state.reports["a"].problem is None


def test_server_does_not_start_without_a_model() -> None:
    workers = Workers()
    workers.scanned()
    assert isinstance(workers.coordinator.error, NothingToServe)
    allowed = Workers(allow_empty=True)
    allowed.scanned()
    assert allowed.coordinator.started


def test_server_does_not_start_without_its_default_model() -> None:
    workers = Workers(default_model="b")
    workers.scanned(model(1))
    assert isinstance(workers.coordinator.error, ConfigurationError)
    assert "'b' is not in models; available: a" in str(workers.coordinator.error)
