"""The figures of a run, the conditions that they must meet, and the table that shows both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tests.attack.attacker_process import Played
from tests.attack.polite_process import Observed

MEBIBYTE = 1024 * 1024
MAX_RATIO = 3.0
MAX_PEAK = 600 * MEBIBYTE
MAX_KEPT = 50 * MEBIBYTE
MAX_PROBE_WAIT = 0.1
WIDTHS = (9, 8, 9, 9, 20, 8)


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """One worker's memory in bytes: at the start, at most, and at the end."""

    pid: int
    start: int
    peak: int
    end: int


@dataclass(frozen=True, slots=True)
class Figures:
    """All that a run measured; times in seconds.

    Attributes:
        seconds: the length of the attack.
        observed, control: the clients during the attack, and while spinners use the attackers' time.
        server_cpu_seconds: of the workers during the attack, for attackers and polite clients.
        replaced: the number of workers that ended.
        shutdown: the time from SIGTERM to the end of the server, and its limit.
        tracebacks: the number of tracebacks in the server's log.
    """

    seconds: float
    played: Sequence[Played]
    observed: Observed
    control: Observed | None
    workers: Sequence[WorkerFigures]
    server_cpu_seconds: float
    replaced: int
    shutdown: float
    max_shutdown: float
    exit_code: int
    tracebacks: int

    @property
    def cpu_seconds(self) -> float:
        return sum(played.cpu_seconds for played in self.played)


def broken(figures: Figures) -> list[str]:
    """A sentence for each condition that does not hold."""
    return [*_polite(figures), *_probes(figures), *_memory(figures), *_end(figures)]


def _polite(figures: Figures) -> Iterator[str]:
    for name, answers in figures.observed.polite.items():
        if answers.failures:
            count = len(answers.failures)
            yield f"{count} polite requests of {name} failed, the first {answers.failures[0]}"
        if not answers.latencies:
            yield f"no polite request of {name} succeeded"
        elif figures.control is not None:
            ratio = _ratio(figures, figures.control, name)
            if ratio > MAX_RATIO:
                yield f"p99 of {name} is {ratio:.1f} times that of the control; at most {MAX_RATIO:g}"


def _probes(figures: Figures) -> Iterator[str]:
    for name, probed in figures.observed.probes.items():
        if probed.failed:
            yield f"{probed.failed} of {probed.polls} probes of {name} failed: {probed.failures[0]}"
        if probed.longest_wait > MAX_PROBE_WAIT:
            yield f"a probe of {name} waited {probed.longest_wait:.2f} s; at most {MAX_PROBE_WAIT:g}"


def _memory(figures: Figures) -> Iterator[str]:
    if figures.replaced:
        yield f"{figures.replaced} workers ended"
    for worker in figures.workers:
        if worker.peak - worker.start > MAX_PEAK:
            yield f"worker {worker.pid} grew by {_mebibytes(worker.peak - worker.start)} MiB"
        if worker.end - worker.start > MAX_KEPT:
            yield f"worker {worker.pid} kept {_mebibytes(worker.end - worker.start)} MiB"


def _end(figures: Figures) -> Iterator[str]:
    if figures.shutdown > figures.max_shutdown:
        yield f"the server ended {figures.shutdown:.1f} s after SIGTERM; at most {figures.max_shutdown:g}"
    if figures.exit_code != -15:
        yield f"the server ended with {figures.exit_code}; expected is the end by SIGTERM"
    if figures.tracebacks:
        yield f"the server logged {figures.tracebacks} tracebacks"


def table(figures: Figures) -> str:
    return "\n".join([*_attacker_lines(figures), "", *_client_lines(figures), "", *_server_lines(figures)])


def _attacker_lines(figures: Figures) -> Iterator[str]:
    yield f"{'attack':<24}{'rounds':>8}{'CPU s':>8}  outcomes"
    for each in figures.played:
        outcomes = ", ".join(f"{count} {name}" for name, count in sorted(each.outcomes.items()))
        yield f"{each.name:<24}{each.rounds:>8}{each.cpu_seconds:>8.1f}  {outcomes}"
    yield f"{'all':<24}{'':>8}{figures.cpu_seconds:>8.1f}  in {figures.seconds:.0f} s"


def _client_lines(figures: Figures) -> Iterator[str]:
    columns = ("requests", "failed", "p50 ms", "p99 ms", "control p50, p99", "ratio")
    yield _row("client", columns)
    for name, answers in figures.observed.polite.items():
        total = len(answers.latencies) + len(answers.failures)
        control = "-" if figures.control is None else _percentiles(figures.control, name)
        ratio = "-" if figures.control is None else f"{_ratio(figures, figures.control, name):.2f}"
        own = [f"{1000 * _percentile(answers.latencies, share):.1f}" for share in (50, 99)]
        yield _row(name, (total, len(answers.failures), *own, control, ratio))
    for name, probed in figures.observed.probes.items():
        yield (
            f"{name:<24}{probed.polls:>9}{probed.failed:>8}  longest wait "
            f"{1000 * probed.longest_wait:.0f} ms "
            f"({1000 * probed.longest_raw_wait:.0f} ms with the machine's load)"
        )


def _row(name: str, cells: Sequence[object]) -> str:
    return f"{name:<24}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS, strict=True))


def _server_lines(figures: Figures) -> Iterator[str]:
    for worker in figures.workers:
        peak, end = worker.peak - worker.start, worker.end - worker.start
        yield (
            f"worker {worker.pid}: {_mebibytes(worker.start)} MiB at the start, at most "
            f"{_mebibytes(peak):+} MiB, {_mebibytes(end):+} MiB after the attack"
        )
    yield f"the workers used {figures.server_cpu_seconds:.1f} s of processor time during the attack"
    yield f"the server ended {figures.shutdown:.1f} s after SIGTERM, with {figures.exit_code}"


def _ratio(figures: Figures, control: Observed, name: str) -> float:
    own, other = (_percentile(each.polite[name].latencies, 99) for each in (figures.observed, control))
    return own / other


def _percentiles(observed: Observed, name: str) -> str:
    latencies = observed.polite[name].latencies
    return ", ".join(f"{1000 * _percentile(latencies, share):.1f}" for share in (50, 99))


def _percentile(values: Sequence[float], share: float) -> float:
    return float(np.percentile(values, share)) if values else float("inf")


def _mebibytes(size: int) -> int:
    return round(size / MEBIBYTE)
