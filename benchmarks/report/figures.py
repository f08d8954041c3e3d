"""What one contender showed in one round of one row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from benchmarks.cases.engine_limit import Limit
from service.loadgen.results.measurement import Measurement


@dataclass(frozen=True, slots=True)
class Figures:
    """Latencies in milliseconds, `cpu` in seconds for 1,000 pictures, memory in megabytes of 10^6 bytes.

    Attributes:
        rate: requests answered a second.
        images: pictures answered a second.
        generator: cores that the generator of the load kept busy.
        unclean: requests that were not answered rightly or refused in order.
    """

    rate: float | None = None
    images: float | None = None
    p50: float | None = None
    p99: float | None = None
    max: float | None = None
    refused: int | None = None
    refusal_p99: float | None = None
    cpu: float | None = None
    pss: float | None = None
    ready: float | None = None
    generator: float | None = None
    unclean: int | None = None
    complaint: str | None = None

    @classmethod
    def of(cls, measurement: Measurement) -> Self:
        latency, refusals = measurement.latency, measurement.refusal_latency
        cpu = measurement.server_cpu
        return cls(
            rate=measurement.throughput,
            images=measurement.images_per_second,
            p50=latency.p50 if latency else None,
            p99=latency.p99 if latency else None,
            max=latency.max if latency else None,
            refused=measurement.refused,
            refusal_p99=refusals.p99 if refusals else None,
            cpu=cpu / measurement.images_per_request if cpu is not None else None,
            generator=measurement.generator_cores,
            unclean=measurement.failed + measurement.wrong,
            complaint=measurement.complaint,
        )

    @classmethod
    def of_limit(cls, limit: Limit) -> Self:
        return cls(
            rate=limit.images_per_second,
            images=limit.images_per_second,
            p50=limit.milliseconds,
            cpu=limit.cpu,
        )
