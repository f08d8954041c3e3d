"""What one run of a plan came down to."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Self

from ..types import Plan
from .answer_checker import Tally
from .latency import Latencies, percentile

# A generator busier than this, or later, is measuring itself.
BUSY_CORES = 0.9


@dataclass(frozen=True, slots=True)
class Measurement:
    """Counts are of requests that were sent, or due, while the window was open.

    Attributes:
        rate: requests a second that an open loop was to send; None for a closed loop.
        offered: requests.
        answered, refused, failed: rightly; with 429; in any other way, or not at all.
        throughput: right answers a second that came while the window was open (goodput).
        images_per_second: the same in pictures.
        latency, refusal_latency: from the moment a request was sent, or in an open loop from the one it was
            due, to the whole answer.
        waited: the 99th percentile of milliseconds from due to sent, in an open loop; part of the latency.
        server_cpu: CPU seconds a 1,000 right answers; None where the server is on another machine.
        generator_cores: how many cores the generators kept busy.
        wrong: answers that were not valid, or labelled the same request otherwise than before.
        complaint: the first of those.
    """

    connections: int
    images_per_request: int
    seconds: float
    rate: float | None
    offered: int
    answered: int
    refused: int
    failed: int
    wrong: int
    statuses: dict[str, int]
    throughput: float
    images_per_second: float
    latency: Latencies | None
    refusal_latency: Latencies | None
    waited: float | None
    server_cpu: float | None
    generator_cores: float
    complaint: str | None

    @classmethod
    def of(cls, plan: Plan, tally: Tally, server_cpu: float | None) -> Self:
        answered, refused = len(tally.answered), len(tally.refused)
        throughput = tally.completed / plan.seconds
        known = server_cpu is not None and tally.completed
        return cls(
            connections=plan.connections,
            images_per_request=plan.requests.images,
            seconds=plan.seconds,
            rate=plan.rate,
            offered=tally.offered,
            answered=answered,
            refused=refused,
            failed=tally.offered - answered - refused,
            wrong=tally.wrong,
            statuses={str(status): count for status, count in sorted(tally.statuses.items(), key=str)},
            throughput=throughput,
            images_per_second=throughput * plan.requests.images,
            latency=Latencies.of(tally.answered),
            refusal_latency=Latencies.of(tally.refused),
            waited=percentile(sorted(tally.late), 99) * 1000 if tally.late else None,
            server_cpu=server_cpu / tally.completed * 1000 if known and server_cpu is not None else None,
            generator_cores=tally.cpu_seconds / plan.seconds,
            complaint=tally.complaint,
        )

    @property
    def clean(self) -> bool:
        """Whether requests were answered, all of them rightly or refused in order."""
        return bool(self.answered) and not self.failed and not self.wrong

    @property
    def tail(self) -> float:
        """The 99th percentile over all that was offered: what was not answered rightly took for ever."""
        missed = self.offered - self.answered
        if self.latency is None or missed > 0.01 * self.offered:
            return math.inf
        # With some missed, p99 of all is a higher percentile of the rest, and never above this one.
        return self.latency.p99 if not missed else self.latency.max

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        """A few lines for a terminal."""
        loop = "closed loop" if self.rate is None else f"open loop, {self.rate:,.0f} requests/s"
        many = "" if self.images_per_request == 1 else f", {self.images_per_request} images a request"
        lines = [
            f"{self.connections} connections, {loop}{many}, {self.seconds:g} s",
            f"  answered   {self.answered:,} ({self.throughput:,.1f} requests/s"
            + ("" if self.images_per_request == 1 else f", {self.images_per_second:,.1f} images/s")
            + f"), refused {self.refused:,}, failed {self.failed:,}, wrong {self.wrong:,}",
        ]
        if self.latency is not None:
            lines.append(f"  latency    {self.latency} ms")
        if self.refusal_latency is not None:
            lines.append(f"  refusals   {self.refusal_latency} ms")
        if self.failed:
            counts = ", ".join(f"{status}: {count:,}" for status, count in self.statuses.items())
            lines.append(f"  statuses   {counts or 'none'}")
        spent = f"generator {self.generator_cores:.2f} cores"
        if self.server_cpu is not None:
            spent = f"server {self.server_cpu:.3f} s / 1,000 requests, {spent}"
        lines.append(f"  CPU        {spent}")
        if self.complaint is not None:
            lines.append(f"  {self.complaint}")
        return "\n".join(lines)
