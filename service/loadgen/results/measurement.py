"""The result of one run."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Self

from ..types import Plan
from .latency import Latencies, percentile
from .response_checker import Tally

# A generator that is busier than this limits the measurement.
BUSY_CORES = 0.9


@dataclass(frozen=True, slots=True)
class Measurement:
    """Counts of requests that were sent, or due, during the measurement.

    Attributes:
        rate: requests per second of an open loop; None for a closed loop.
        offered: all requests.
        answered: requests with a correct response.
        rejected: requests rejected with status 429.
        failed: requests with any other response, or none.
        incorrect: responses that were invalid, or labelled a request differently than an earlier response.
        throughput: correct responses per second during the measurement (goodput).
        images_per_second: the same in images.
        latency, rejection_latency: milliseconds from sending a request, or in an open loop from the time it
            was due, to the complete response.
        send_delay: 99th percentile of the milliseconds from due to sent, in an open loop; the latency
            includes it.
        server_cpu: CPU seconds per 1,000 correct responses; None if the server is on another machine.
        generator_cores: cores that the generators kept busy.
        first_error: a description of the first incorrect response.
    """

    connections: int
    images_per_request: int
    seconds: float
    rate: float | None
    offered: int
    answered: int
    rejected: int
    failed: int
    incorrect: int
    statuses: dict[str, int]
    throughput: float
    images_per_second: float
    latency: Latencies | None
    rejection_latency: Latencies | None
    send_delay: float | None
    server_cpu: float | None
    generator_cores: float
    first_error: str | None

    @classmethod
    def of(cls, plan: Plan, tally: Tally, server_cpu: float | None) -> Self:
        answered, rejected = len(tally.latencies), len(tally.rejection_latencies)
        throughput = tally.completed / plan.seconds
        if server_cpu is not None:
            server_cpu = server_cpu / tally.completed * 1000 if tally.completed else None
        return cls(
            connections=plan.connections,
            images_per_request=plan.requests.images,
            seconds=plan.seconds,
            rate=plan.rate,
            offered=tally.offered,
            answered=answered,
            rejected=rejected,
            failed=tally.offered - answered - rejected,
            incorrect=tally.incorrect,
            statuses={str(status): count for status, count in sorted(tally.statuses.items(), key=str)},
            throughput=throughput,
            images_per_second=throughput * plan.requests.images,
            latency=Latencies.of(tally.latencies),
            rejection_latency=Latencies.of(tally.rejection_latencies),
            send_delay=percentile(sorted(tally.send_delays), 99) * 1000 if tally.send_delays else None,
            server_cpu=server_cpu,
            generator_cores=tally.cpu_seconds / plan.seconds,
            first_error=tally.first_error,
        )

    @property
    def clean(self) -> bool:
        """True if requests were answered, and every response was correct or a 429."""
        return bool(self.answered) and not self.failed and not self.incorrect

    @property
    def tail(self) -> float:
        """The p99 latency over all offered requests; one without a correct response counts as infinite."""
        missed = self.offered - self.answered
        if self.latency is None or missed > 0.01 * self.offered:
            return math.inf
        # With some missed, p99 of all is a higher percentile of the rest, and never above its maximum.
        return self.latency.p99 if not missed else self.latency.max

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        """A few lines for a terminal."""
        one_image = self.images_per_request == 1
        loop = "closed loop" if self.rate is None else f"open loop, {self.rate:,.0f} requests/s"
        images = "" if one_image else f", {self.images_per_request} images per request"
        image_rate = "" if one_image else f", {self.images_per_second:,.1f} images/s"
        lines = [
            f"{self.connections} connections, {loop}{images}, {self.seconds:g} s",
            f"  answered   {self.answered:,} ({self.throughput:,.1f} requests/s{image_rate}), "
            f"rejected {self.rejected:,}, failed {self.failed:,}, incorrect {self.incorrect:,}",
        ]
        if self.latency is not None:
            lines.append(f"  latency    {self.latency} ms")
        if self.rejection_latency is not None:
            lines.append(f"  rejections {self.rejection_latency} ms")
        if self.failed:
            counts = ", ".join(f"{status}: {count:,}" for status, count in self.statuses.items())
            lines.append(f"  statuses   {counts or 'none'}")
        cpu = f"generator {self.generator_cores:.2f} cores"
        if self.server_cpu is not None:
            cpu = f"server {self.server_cpu:.3f} s per 1,000 requests, {cpu}"
        lines.append(f"  CPU        {cpu}")
        if self.first_error is not None:
            lines.append(f"  {self.first_error}")
        return "\n".join(lines)
