"""What the server counts and times, on a registry that it is given. Names follow Prometheus's conventions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# A LeNet answers in well under a millisecond, where most servers' buckets only begin.
SECONDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCH_SIZES = tuple(2**power for power in range(11))
CONFIDENCES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0)
REJECTIONS = ("overloaded", "deadline", "not_ready")


@dataclass(frozen=True, slots=True)
class ModelMetrics:
    """One version's children of every family, looked up once when the version is loaded."""

    decode: Histogram
    queue: Histogram
    infer: Histogram
    images: Counter
    batch_size: Histogram
    depth: Gauge
    confidence: Histogram
    predictions: Sequence[Counter]
    rejected: dict[str, Counter]


class Telemetry:
    """Every metric family of the server.

    With several workers each writes its share to files in `PROMETHEUS_MULTIPROC_DIR`, and whichever answers
    a scrape adds them up; gauges therefore say how. `shared` is that folder, or None with one process.
    """

    def __init__(self, registry: CollectorRegistry, shared: Path | None = None) -> None:
        self.shared = shared

        def options(*labels: str) -> dict[str, Any]:
            return {"registry": registry, "namespace": "convserve", "labelnames": labels}

        self.requests = Counter(
            "requests_total",
            "Requests for inference, by the status they were answered with.",
            **options("model", "version", "protocol", "code"),
        )
        self.request_duration = Histogram(
            "request_duration_seconds",
            "Time from the request's head to its answer.",
            buckets=SECONDS,
            **options("model", "protocol"),
        )
        self.inflight = Gauge(
            "inflight_requests",
            "Requests for inference that are being answered.",
            multiprocess_mode="livesum",
            **options(),
        )
        self._stage = Histogram(
            "stage_duration_seconds",
            "Time a request spent in a stage.",
            buckets=SECONDS,
            **options("model", "stage"),
        )
        self._images = Counter("images_total", "Images answered.", **options("model", "version"))
        self._batch_size = Histogram(
            "batch_size", "Images in one run of the engine.", buckets=BATCH_SIZES, **options("model")
        )
        self._depth = Gauge(
            "queue_depth",
            "Images admitted and not yet answered.",
            multiprocess_mode="livesum",
            **options("model"),
        )
        self._limit = Gauge(
            "queue_limit",
            "Images that may be admitted and unanswered.",
            multiprocess_mode="livesum",
            **options("model"),
        )
        self._rejected = Counter(
            "rejected_total", "Requests turned away before an answer.", **options("model", "reason")
        )
        self.refused = Counter(
            "refused_total", "Requests and connections turned away at the door.", **options("reason")
        )
        self._load = Gauge(
            "model_load_duration_seconds",
            "Time to open, check and warm up a version.",
            multiprocess_mode="max",
            **options("model", "version"),
        )
        self._info = Gauge(
            "model_info",
            "Always 1; the labels tell what is served and on what.",
            multiprocess_mode="max",
            **options("model", "version", "provider", "sha256"),
        )
        self._predictions = Counter(
            "predictions_total",
            "Images by the label they were given.",
            **options("model", "version", "label"),
        )
        self._confidence = Histogram(
            "prediction_confidence",
            "Probability of the label that was given.",
            buckets=CONFIDENCES,
            **options("model", "version"),
        )

    def model(self, name: str, version: str, labels: Sequence[str], queue_limit: int) -> ModelMetrics:
        """The children of one version; every label value exists from here on, at zero."""
        self._limit.labels(name).inc(queue_limit)
        return ModelMetrics(
            decode=self._stage.labels(name, "decode"),
            queue=self._stage.labels(name, "queue"),
            infer=self._stage.labels(name, "infer"),
            images=self._images.labels(name, version),
            batch_size=self._batch_size.labels(name),
            depth=self._depth.labels(name),
            confidence=self._confidence.labels(name, version),
            predictions=[self._predictions.labels(name, version, label) for label in labels],
            rejected={reason: self._rejected.labels(name, reason) for reason in REJECTIONS},
        )

    def loaded(self, name: str, version: str, *, provider: str, sha256: str, seconds: float) -> None:
        """Note that a version became ready, after `seconds` of loading."""
        self._load.labels(name, version).set(seconds)
        self._info.labels(name, version, provider, sha256).set(1)
