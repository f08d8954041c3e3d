"""Plays attacks against a server and measures its other clients, its memory and its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.config.settings import Settings
from tests.attack.attacker_process import Played
from tests.attack.figures import Figures, WorkerFigures
from tests.attack.polite import Answers
from tests.attack.polite_process import Observed, Probed
from tests.attack.worker_memory import WorkerMemory, memory_of_workers
from tests.support.server.server_process import FREE_GRPC_PORT, ROOT, ServerProcess
from tests.support.watcher.process_tree import cpu_seconds

FIRST_SOURCE = 10
SHUTDOWN = float(Settings.model_fields["shutdown_timeout_s"].default)
SHUTDOWN_GRACE = 2.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The parts of a run; times in seconds.

    Attributes:
        attacks: the names of those that are played.
        seconds: the length of the attack.
        warm_up: the time that only polite clients ask, before the memory at the start is taken.
        settle: the time after the attack, before the memory at the end is taken.
        control: the length of the control run; 0 leaves it out.
        last: the time of another attack before SIGTERM; 0 for none.
    """

    attacks: Sequence[str]
    seconds: float
    warm_up: float = 5.0
    settle: float = 60.0
    control: float = 60.0
    last: float = 5.0
    workers: int = 2


def run(plan: Plan, models: Path | None = None) -> Figures:
    with _server(plan, models) as server:
        _say("polite clients alone")
        with _clients(server):
            time.sleep(plan.warm_up)
        start = memory_of_workers(server.pid)
        _say("attackers prepare")
        with (
            WorkerMemory(server.pid) as memory,
            _clients(server) as observed,
            _attackers(server, plan.attacks) as played,
        ):
            _say(f"attack of {plan.seconds:g} s")
            used = _cpu_seconds(start)
            time.sleep(plan.seconds)
            used = _cpu_seconds(start) - used
        _say(f"{plan.settle:g} s without clients")
        time.sleep(plan.settle)
        end = memory_of_workers(server.pid)
        with _attackers(server, plan.attacks if plan.last else ()):
            time.sleep(plan.last)
            _say("SIGTERM in the middle of another attack" if plan.last else "SIGTERM")
            shutdown, exit_code = _shut_down(server)
        tracebacks = server.stderr.text.count("Traceback")
    workers = [WorkerFigures(pid, size, memory.peaks[pid], end.get(pid, 0)) for pid, size in start.items()]
    share = sum(each.cpu_seconds for each in played) / plan.seconds
    return Figures(
        seconds=plan.seconds,
        played=played,
        observed=observed[0],
        control=_control(plan, share, models) if plan.control else None,
        workers=workers,
        server_cpu_seconds=used,
        replaced=len(start.keys() - end.keys()),
        shutdown=shutdown,
        max_shutdown=SHUTDOWN + SHUTDOWN_GRACE,
        exit_code=exit_code,
        tracebacks=tracebacks,
    )


def _cpu_seconds(pids: Iterable[int]) -> float:
    return sum(map(cpu_seconds, pids))


def _control(plan: Plan, share: float, models: Path | None) -> Observed:
    """The clients of a server that is not attacked, while spinners use `share` cores."""
    spinners = os.cpu_count() or 1
    _say(f"control run of {plan.control:g} s")
    with _server(plan, models) as server, ExitStack() as stack:
        with _clients(server):
            time.sleep(plan.warm_up)
        for _ in range(spinners):
            stack.enter_context(_process("tests.attack.spinner_process", str(share / spinners)))
        with _clients(server) as observed:
            time.sleep(plan.control)
    return observed[0]


def _server(plan: Plan, models: Path | None) -> ServerProcess:
    return ServerProcess(models, *FREE_GRPC_PORT, "--workers", str(plan.workers))


def _ports(server: ServerProcess) -> tuple[str, str]:
    return str(server.address[1]), server.grpc_address.rpartition(":")[2]


@contextmanager
def _clients(server: ServerProcess) -> Iterator[list[Observed]]:
    """Polite clients and probes while the block runs; afterwards the list has their results."""
    results: list[Observed] = []
    with _process("tests.attack.polite_process", str(server.pid), *_ports(server)) as process:
        yield results
        found = _result(process)
        results.append(
            Observed(
                polite={name: Answers(**each) for name, each in found["polite"].items()},
                probes={name: Probed(**each) for name, each in found["probes"].items()},
            )
        )


@contextmanager
def _attackers(server: ServerProcess, names: Sequence[str]) -> Iterator[list[Played]]:
    """Attackers while the block runs, each from its own address; afterwards the list has their results."""
    results: list[Played] = []
    module = "tests.attack.attacker_process"
    with ExitStack() as stack:
        processes = [
            stack.enter_context(_process(module, name, *_ports(server), f"127.0.0.{FIRST_SOURCE + number}"))
            for number, name in enumerate(names)
        ]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        yield results
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
        results += [Played(**_result(process)) for process in processes]


@contextmanager
def _process(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has printed its first line; it ends when its input closes."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline(), f"{module} has ended"
            yield process
        except BaseException:
            process.kill()
            raise


def _result(process: subprocess.Popen[str]) -> Any:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    return json.loads(process.stdout.read())


def _say(stage: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {stage}", file=sys.stderr, flush=True)


def _shut_down(server: ServerProcess) -> tuple[float, int]:
    begun = time.monotonic()
    exit_code = server.stop(signal.SIGTERM)
    return time.monotonic() - begun, exit_code
