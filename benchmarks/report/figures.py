"""The figures of one entry in one round of a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from benchmarks.cases.engine_limit import EngineLimit
from service.loadgen.results.measurement import Measurement


@dataclass(frozen=True, slots=True)
class Figures:
    """Latencies in milliseconds, `cpu` in seconds per 1,000 images, `pss` in megabytes of 10^6 bytes.

    The names are keys of results.json; None means that the figure was not measured.

    Attributes:
        rate: correct responses per second.
        images: classified images per second.
        rejected: requests rejected because of overload.
        generator: cores that the load generator kept busy.
        failed: requests with neither a correct response nor a rejection, and incorrect responses.
        first_error: a description of the first incorrect response.
    """

    rate: float | None = None
    images: float | None = None
    p50: float | None = None
    p99: float | None = None
    max: float | None = None
    rejected: int | None = None
    rejection_p99: float | None = None
    cpu: float | None = None
    pss: float | None = None
    ready: float | None = None
    generator: float | None = None
    failed: int | None = None
    first_error: str | None = None

    @classmethod
    def of(cls, measurement: Measurement) -> Self:
        latency, rejections = measurement.latency, measurement.rejection_latency
        cpu = measurement.server_cpu
        return cls(
            rate=measurement.throughput,
            images=measurement.images_per_second,
            p50=latency.p50 if latency else None,
            p99=latency.p99 if latency else None,
            max=latency.max if latency else None,
            rejected=measurement.rejected,
            rejection_p99=rejections.p99 if rejections else None,
            cpu=cpu / measurement.images_per_request if cpu is not None else None,
            generator=measurement.generator_cores,
            failed=measurement.failed + measurement.incorrect,
            first_error=measurement.first_error,
        )

    @classmethod
    def of_limit(cls, limit: EngineLimit) -> Self:
        return cls(
            rate=limit.images_per_second,
            images=limit.images_per_second,
            p50=limit.milliseconds,
            cpu=limit.cpu,
        )
