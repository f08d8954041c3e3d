"""The limit of open files is raised if possible; otherwise it bounds the connections."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.server.server_process import ROOT

# A process cannot raise its hard limit again after lowering it, so each case runs in a separate process.
CODE = """
import resource, sys
from service.system.fd_limit import raise_fd_limit
soft, hard, wanted = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(*raise_fd_limit(wanted), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "room", "raised"),
    [
        (512, 1024, 200, 200, 512),  # 96 files are for other purposes
        (256, 1024, 400, 400, 496),
        (256, 364, 1000, 268, 364),
        (128, 128, 1000, 32, 128),
        (64, 64, 1000, 0, 64),
    ],
)
def test_fd_limit_is_raised_or_bounds_the_connections(
    soft: int, hard: int, wanted: int, room: int, raised: int
) -> None:
    arguments = [str(number) for number in (soft, hard, wanted)]
    result = subprocess.run(
        [sys.executable, "-c", CODE, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == [str(room), str(raised), str(raised)]
