from __future__ import annotations

import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest

from service.errors import InferenceFailed, InvalidImage
from service.process_pool.job_process import NICENESS, CallStopped
from service.process_pool.pool import IDLE_SECONDS, LOG_SECONDS, ProcessPool
from service.process_pool.template import Template
from tests.support.manual_clock import ManualClock
from tests.support.server.procfs import needs_procfs, wait_for_end

pytestmark = [pytest.mark.skipif(not Template.supported(), reason="forks"), needs_procfs]


def never() -> bool:
    return False


@pytest.fixture
def template() -> Template:
    return Template()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def pool(template: Template, clock: ManualClock) -> Iterator[ProcessPool]:
    pool = ProcessPool(template, clock)
    yield pool
    pool.close()


def reject(text: str) -> None:
    raise InvalidImage(text)


def view(data: bytes) -> memoryview:
    return memoryview(data)


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wait_forever() -> None:
    threading.Event().wait()


def descriptors() -> list[str]:
    return sorted(
        os.readlink(entry.path) for entry in os.scandir("/proc/self/fd") if os.path.islink(entry.path)
    )


def test_call_runs_in_another_process_of_low_priority(pool: ProcessPool) -> None:
    pid = pool.call(os.getpid, never)
    assert pid != os.getpid()
    assert pool.call(partial(os.getpriority, os.PRIO_PROCESS, 0), never) == NICENESS
    assert os.getpriority(os.PRIO_PROCESS, 0) < NICENESS


def test_process_is_used_again(pool: ProcessPool) -> None:
    assert len({pool.call(os.getpid, never) for _ in range(5)}) == 1


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_arguments_and_results_of_any_size(pool: ProcessPool, size: int) -> None:
    array = np.arange(size, dtype=np.float32)
    np.testing.assert_array_equal(pool.call(partial(np.negative, array), never), -array)
    data = array.tobytes()
    assert pool.call(partial(bytes, memoryview(data)), never) == data
    assert pool.call(partial(view, data), never) == data


def test_error_is_raised_in_the_caller(pool: ProcessPool) -> None:
    with pytest.raises(InvalidImage, match=r"^too blue$"):
        pool.call(partial(reject, "too blue"), never)
    assert pool.call(partial(int, "7"), never) == 7


def test_unexpected_error_tells_the_frames_of_the_process(pool: ProcessPool) -> None:
    with pytest.raises(ValueError, match="in _answer"):
        pool.call(partial(int, "seven"), never)


def test_crash_fails_its_call_only(pool: ProcessPool, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InferenceFailed, match="has ended"):
        pool.call(kill_self, never)
    assert "has ended" in caplog.text
    assert pool.call(partial(int, "7"), never) == 7


def test_result_that_cannot_be_pickled_fails_its_call_only(pool: ProcessPool) -> None:
    with pytest.raises(InferenceFailed):
        pool.call(threading.Lock, never)
    with pytest.raises(TypeError, match="pickle"):
        pool.call(partial(id, threading.Lock()), never)
    assert pool.call(partial(int, "7"), never) == 7


def test_idle_process_that_was_killed_is_replaced(pool: ProcessPool) -> None:
    pid = pool.call(os.getpid, never)
    os.kill(pid, signal.SIGKILL)
    wait_for_end(pid)
    assert pool.call(os.getpid, never) != pid


def test_stopped_call_ends_its_process(pool: ProcessPool) -> None:
    pid = pool.call(os.getpid, never)
    with pytest.raises(CallStopped):
        pool.call(wait_forever, lambda: True)
    wait_for_end(pid)


def test_stop_ends_all_calls(pool: ProcessPool) -> None:
    ended = threading.Event()

    def call() -> None:
        with pytest.raises(CallStopped):
            pool.call(wait_forever, never)
        ended.set()

    thread = threading.Thread(target=call)
    thread.start()
    pool.stop()
    assert ended.wait(10)
    thread.join()


def test_idle_processes_end(pool: ProcessPool, clock: ManualClock) -> None:
    pid = pool.call(os.getpid, never)
    clock.advance(IDLE_SECONDS - 1)
    pool.check()
    assert pool.call(os.getpid, never) == pid
    clock.advance(IDLE_SECONDS + 1)
    pool.check()
    wait_for_end(pid)
    assert pool.call(os.getpid, never) != pid


def test_processes_hold_no_files_of_the_server(clock: ManualClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pool = ProcessPool(Template(), clock)
        opened = pool.call(descriptors, never)
        pool.close()
        assert f"socket:[{os.fstat(listener.fileno()).st_ino}]" not in opened


def test_jobs_run_in_the_caller_without_a_template(clock: ManualClock) -> None:
    assert ProcessPool(None, clock).call(os.getpid, never) == os.getpid()


def test_jobs_run_in_the_caller_when_the_template_has_ended(
    pool: ProcessPool, template: Template, caplog: pytest.LogCaptureFixture
) -> None:
    pid = pool.call(os.getpid, never)
    os.kill(template.pid, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    wait_for_end(pid)
    os.waitid(os.P_PID, template.pid, os.WEXITED | os.WNOWAIT)
    assert pool.call(os.getpid, never) == os.getpid()
    assert "no process can be forked" in caplog.text


def test_missing_processes_are_logged_once_a_minute(
    template: Template, pool: ProcessPool, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    template.close()
    for _ in range(100):
        pool.call(os.getpid, never)
    assert [record.args for record in caplog.records] == [(1,)]
    clock.advance(LOG_SECONDS)
    pool.call(os.getpid, never)
    assert [record.args for record in caplog.records] == [(1,), (100,)]


def test_closing_the_template_ends_its_processes(clock: ManualClock) -> None:
    template = Template()
    pool = ProcessPool(template, clock)
    pid = pool.call(os.getpid, never)
    watched = os.pidfd_open(pid)
    pool.close()
    assert select.select([watched], [], [], 10)[0]
    os.close(watched)
