from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.server.procfs import needs_procfs
from tests.support.server.server_process import ROOT

# Frees every second block of 8 MiB, as interleaved requests do, and prints the resident bytes.
PROGRAM = """
import sys
from service.system.allocator import return_large_blocks
if sys.argv[1] == "set":
    assert return_large_blocks()
warm = bytearray(16 << 20)
del warm
blocks = [bytearray(b"x") * (8 << 20) for _ in range(24)]
del blocks[::2]
print(int(open("/proc/self/statm").read().split()[1]) * 4096)
"""


def resident(argument: str) -> int:
    output = subprocess.run(
        [sys.executable, "-c", PROGRAM, argument], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return int(output.stdout)


@needs_procfs
@pytest.mark.skipif(sys.platform != "linux", reason="sets glibc's allocator")
@pytest.mark.measures
def test_freed_blocks_are_returned_to_the_system() -> None:
    assert resident("set") < resident("default") - (64 << 20)
