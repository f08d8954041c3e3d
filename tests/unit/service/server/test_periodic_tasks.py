from __future__ import annotations

import pytest

from service.server.periodic_tasks import PeriodicTasks


def test_failing_task_ends_no_other_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[str] = []

    def fails() -> None:
        calls.append("fails")
        raise MemoryError("no memory")

    tasks = PeriodicTasks([fails, lambda: calls.append("works")])
    tasks.run()
    tasks.run()
    assert calls == ["fails", "works"] * 2
    assert caplog.text.count("MemoryError: no memory") == 1


def test_task_that_fails_again_is_logged_again(caplog: pytest.LogCaptureFixture) -> None:
    outcomes = iter([ValueError("first"), None, ValueError("first"), ValueError("second")])

    def task() -> None:
        outcome = next(outcomes)
        if outcome is not None:
            raise outcome

    tasks = PeriodicTasks([task])
    for _ in range(4):
        tasks.run()
    assert caplog.text.count("ValueError: first") == 2
    assert caplog.text.count("ValueError: second") == 1
