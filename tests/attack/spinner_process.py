"""Uses a share of a core at the lowest priority: `python -m tests.attack.spinner_process SHARE`.

It ends when its input closes.
"""

from __future__ import annotations

import select
import sys
import time

from tests.attack.attacker_process import lower_priority

PIECE = 0.005


def spin(share: float) -> None:
    """Catches up if the others left it too little for a while."""
    begun, used = time.monotonic(), time.process_time()
    while not select.select([sys.stdin], [], [], 0)[0]:
        if time.process_time() - used < share * (time.monotonic() - begun):
            end = time.process_time() + PIECE
            while time.process_time() < end:
                pass
        else:
            time.sleep(PIECE)


if __name__ == "__main__":
    lower_priority()
    print("ready", flush=True)
    spin(float(sys.argv[1]))
