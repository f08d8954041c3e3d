"""The metrics of the server. Their names follow Prometheus's conventions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from ..system.shared_memory import IntTable
from .collector import ABSENT, CounterChild, GaugeChild, HistogramChild, MetricsCollector

# A small network takes well under a millisecond, less than the usual first bucket.
DURATION_BUCKETS = (
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)
BATCH_SIZE_BUCKETS = tuple(2**power for power in range(11))
CONFIDENCE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0)
REJECTIONS = ("overloaded", "deadline", "not_ready")


@dataclass(frozen=True, slots=True)
class ModelMetrics:
    """The metrics of one version, looked up once when it is loaded."""

    stages: Mapping[str, HistogramChild]
    images: CounterChild
    batch_size: HistogramChild
    queue_depth: GaugeChild
    images_in_flight: GaugeChild
    confidence: HistogramChild
    predictions: Sequence[CounterChild]
    rejected: dict[str, CounterChild]


class ServerMetrics:
    """All metrics of the server, summed over its workers.

    Args:
        shared: folder through which the workers share their numbers; None with one process.

    Attributes:
        statistics: the numbers of the statistics extension, a row for each version.
    """

    def __init__(self, registry: CollectorRegistry, shared: Path | None = None) -> None:
        self.statistics = IntTable(shared, "statistics")
        collector = MetricsCollector("convserve", shared)
        registry.register(collector)
        self._requests = collector.counter(
            "requests_total",
            "Requests for inference, by the status of the response.",
            ("model", "version", "protocol", "code"),
        )
        self._request_duration = collector.histogram(
            "request_duration_seconds",
            "Time from the head of a request to its response.",
            ("model", "protocol"),
            bounds=DURATION_BUCKETS,
        )
        self._request_metrics: dict[tuple[str, str, str, str], tuple[CounterChild, HistogramChild]] = {}
        self.inflight = collector.gauge("inflight_requests", "Requests for inference in progress.").labels()
        self._stage = collector.histogram(
            "stage_duration_seconds",
            "Time a request spent in a stage: decode, queue or compute.",
            ("model", "stage"),
            bounds=DURATION_BUCKETS,
        )
        self._images = collector.counter(
            "images_total", "Images for which a result was returned.", ("model", "version")
        )
        self._batch_size = collector.histogram(
            "batch_size", "Images in one run of the engine.", ("model",), bounds=BATCH_SIZE_BUCKETS
        )
        self._queue_depth = collector.gauge(
            "queue_depth", "Decoded images that wait for the engine.", ("model",)
        )
        self._queue_limit = collector.gauge(
            "queue_limit", "Images the setting queue_limit admits, over all versions and workers.", ("model",)
        )
        self._images_in_flight = collector.gauge(
            "images_in_flight",
            "Images admitted and not yet answered: being decoded, queued or computed.",
            ("model",),
        )
        self._images_in_flight_limit = collector.gauge(
            "images_in_flight_limit",
            "Images that may be in flight; a request beyond it is rejected.",
            ("model",),
        )
        self._rejected = collector.counter(
            "rejected_total", "Requests for inference that a model rejected.", ("model", "reason")
        )
        self.connection_rejections = collector.counter(
            "connection_rejections_total",
            "Connections and requests rejected before they reach a model: missing or insufficient API keys, "
            "rate limits of keys, malformed or slow HTTP, and limits of connections and bytes.",
            ("reason",),
        )
        self._load = collector.gauge(
            "model_load_duration_seconds",
            "Time to open, verify and warm up a version.",
            ("model", "version"),
            merge="max",
        )
        self._info = collector.gauge(
            "model_info",
            "Always 1; the labels describe a served version.",
            ("model", "version", "provider", "sha256"),
            merge="max",
        )
        self._known_conditions: set[str] = set()
        self._model_changes = collector.counter(
            "model_changes_total",
            "Versions that were loaded, unloaded, or failed to load, counted by each worker.",
            ("model", "change"),
        )
        self._model_failures = collector.gauge(
            "model_failures", "Versions that ought to be served and are not.", ("model",), merge="max"
        )
        self._model_problems = collector.gauge(
            "model_problems",
            "1 if a change on disk has no effect, such as an invalid configuration; the model is empty if "
            "the repository cannot be read.",
            ("model",),
            merge="max",
        )
        self._predictions = collector.counter(
            "predictions_total", "Images by predicted label.", ("model", "version", "label")
        )
        self._expected = collector.gauge(
            "evaluation_predictions_ratio",
            "Share of the test set for which the version predicted the label, when it was evaluated.",
            ("model", "version", "label"),
            merge="max",
        )
        self.ready = collector.gauge("ready_workers", "Workers that are ready.").labels()
        self.client_bytes = collector.gauge(
            "client_bytes",
            "Bytes held for clients: requests, decoded images and responses; updated once a second.",
        ).labels()
        self.client_budget = collector.gauge(
            "client_budget_bytes", "Bytes that may be held for clients, over all workers."
        ).labels()
        self._confidence = collector.histogram(
            "prediction_confidence",
            "Probability of the predicted label.",
            ("model", "version"),
            bounds=CONFIDENCE_BUCKETS,
        )

    def record_request(self, model: str, version: str, protocol: str, code: str, seconds: float) -> None:
        """Count a finished request for inference; the names are empty if no model was found."""
        found = self._request_metrics.get((model, version, protocol, code))
        if found is None:
            found = (
                self._requests.labels(model, version, protocol, code),
                self._request_duration.labels(model, protocol),
            )
            self._request_metrics[model, version, protocol, code] = found
        requests, duration = found
        requests.inc()
        duration.observe(seconds)

    def model(self, name: str, version: str, labels: Sequence[str]) -> ModelMetrics:
        """The metrics of one version; every label value exists from here on, at zero."""
        return ModelMetrics(
            stages={
                "decode": self._stage.labels(name, "decode"),
                "queue": self._stage.labels(name, "queue"),
                "compute": self._stage.labels(name, "compute"),
            },
            images=self._images.labels(name, version),
            batch_size=self._batch_size.labels(name),
            queue_depth=self._queue_depth.labels(name),
            images_in_flight=self._images_in_flight.labels(name),
            confidence=self._confidence.labels(name, version),
            predictions=[self._predictions.labels(name, version, label) for label in labels],
            rejected={reason: self._rejected.labels(name, reason) for reason in REJECTIONS},
        )

    def record_served(
        self, name: str, version: str, *, provider: str, sha256: str, seconds: float, queue_limit: int
    ) -> None:
        """Record that a version is served after `seconds` of loading, and how many images it admits."""
        self._known_conditions.add(name)
        self._model_failures.labels(name)  # the series exists from here on
        self._model_problems.labels(name)
        self._load.labels(name, version).set(seconds)
        self._info.labels(name, version, provider, sha256).set(1)
        self._queue_limit.labels(name).inc(queue_limit)
        self._images_in_flight_limit.labels(name).inc(queue_limit)

    def record_not_served(
        self, name: str, version: str, *, provider: str, sha256: str, queue_limit: int
    ) -> None:
        """Take back what `record_served` has recorded."""
        self._load.labels(name, version).set(ABSENT)
        self._info.labels(name, version, provider, sha256).set(ABSENT)
        self._queue_limit.labels(name).dec(queue_limit)
        self._images_in_flight_limit.labels(name).dec(queue_limit)

    def record_model_change(self, name: str, change: str) -> None:
        """Count a version that was `loaded`, `unloaded`, or that `failed`."""
        self._model_changes.labels(name, change).inc()

    def record_conditions(self, failures: Iterable[str], problems: Collection[str]) -> None:
        """Record the model of each version that is not served, and the models with a problem."""
        counts = Counter(failures)
        for name in self._known_conditions.union(counts, problems):
            self._model_failures.labels(name).set(counts[name])
            self._model_problems.labels(name).set(float(name in problems))
        self._known_conditions.update(counts, problems)

    def record_evaluation(
        self, name: str, version: str, labels: Sequence[str], predicted: Sequence[int]
    ) -> None:
        """Record for how many images of its test set a version predicted each label."""
        counts: dict[str, int] = defaultdict(int)
        for label, count in zip(labels, predicted, strict=True):
            counts[label] += count  # several classes can have the same label
        for label, count in counts.items():
            self._expected.labels(name, version, label).set(count / sum(predicted))
