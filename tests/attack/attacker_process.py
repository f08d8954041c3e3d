"""Plays one attack again and again, in a process of the lowest priority.

`python -m tests.attack.attacker_process NAME HTTP_PORT GRPC_PORT SOURCE` prints a line when it is ready,
begins when it reads one, and ends when its input closes. It then prints `Played` as JSON.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.attack.attacker import Attacker
from tests.attack.catalog import attack_of

LOWEST = 19
AUTOGROUP = Path("/proc/self/autogroup")
PAUSE_AFTER_CUT = 0.1


@dataclass(frozen=True, slots=True)
class Played:
    """One attacker's figures.

    Attributes:
        rounds: the number of rounds, including those that the server cut off.
        cpu_seconds: from the beginning of the first round.
        outcomes: the number of responses by status, and of lost connections by error.
    """

    name: str
    rounds: int
    cpu_seconds: float
    outcomes: dict[str, int]


def lower_priority() -> None:
    """Gives way to all others: the kernel groups processes by session, and groups have a priority too."""
    os.nice(LOWEST)
    if AUTOGROUP.exists():
        AUTOGROUP.write_text(str(LOWEST))


def main(name: str, http_port: str, grpc_port: str, source: str) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    attack = attack_of(name)()
    lower_priority()
    attacker = Attacker(("127.0.0.1", int(http_port)), ("127.0.0.1", int(grpc_port)), source)
    print("ready", flush=True)
    sys.stdin.readline()
    begun = time.process_time()
    rounds: Counter[str] = Counter()

    def play() -> None:
        while True:
            rounds["played"] += 1
            try:
                attack.play(attacker)
            except OSError as error:
                attacker.outcomes[type(error).__name__] += 1
                attacker.pause(PAUSE_AFTER_CUT)

    threading.Thread(target=play, daemon=True).start()
    sys.stdin.read()
    spent = time.process_time() - begun
    print(json.dumps(asdict(Played(name, rounds["played"], spent, dict(attacker.outcomes)))), flush=True)
    os._exit(0)  # without waiting for connections of the round


if __name__ == "__main__":
    main(*sys.argv[1:])
