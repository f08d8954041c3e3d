from __future__ import annotations

import subprocess
import sys

from tests.support.server.output_lines import DEADLINE

# The main thread never ends.
BLOCKED = """
import signal, threading
from service.server.exit_deadline import exit_after
exit_after(0.01, signal.SIGTERM)
threading.Event().wait()
"""


def test_process_that_does_not_end_by_itself_is_ended() -> None:
    result = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, timeout=DEADLINE)
    assert result.returncode == 128 + 15
    assert "did not end within its shutdown timeout" in result.stderr
