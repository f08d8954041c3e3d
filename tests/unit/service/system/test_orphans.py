"""Each test runs in a process of its own, whose children are known."""

from __future__ import annotations

import subprocess
import sys

WITH_AN_ENDED_CHILD = """
import os
from service.system.orphans import reap_orphans

reap_orphans(())  # there is no child
pid = os.fork()
if pid == 0:
    os._exit(7)
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
"""


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", WITH_AN_ENDED_CHILD + code], check=True)


def test_ended_process_is_reaped() -> None:
    run(
        """
reap_orphans(())
try:
    os.waitpid(pid, os.WNOHANG)
except ChildProcessError:
    os._exit(0)
os._exit(1)
"""
    )


def test_own_process_is_left_to_its_starter() -> None:
    run("reap_orphans({pid})\nassert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7")


def test_running_process_is_left_alone() -> None:
    run(
        """
other = os.fork()
if other == 0:
    os.read(os.pipe()[0], 1)
reap_orphans(())
os.kill(other, 9)
assert os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) == -9
"""
    )
