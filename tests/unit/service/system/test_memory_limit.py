from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from service.system.memory_limit import limited_allocation
from tests.support.server.output_lines import DEADLINE
from tests.support.server.procfs import needs_procfs

MIB = 1 << 20

# In a process of its own, because the limit applies to all threads.
SCRIPT = f"""
from service.system.memory_limit import limited_allocation
before = bytearray({300 * MIB})
with limited_allocation({200 * MIB}):
    during = bytearray({100 * MIB})
    try:
        bytearray({200 * MIB})
    except MemoryError:
        print("refused")
after = bytearray({500 * MIB})
print("allocated")
"""


@needs_procfs
def test_only_more_than_the_limit_is_refused_and_only_during_the_block() -> None:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=DEADLINE, check=True
    )
    assert result.stdout.splitlines() == ["refused", "allocated"]


def test_limit_is_as_before_after_an_error() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(ValueError, match="any"), limited_allocation(1 << 40):
        raise ValueError("any")
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
