"""Metrics that are recorded once a batch, which costs less than once a request."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..batching.admission import Admission
from ..batching.pending_request import Scores
from ..repository.manifest import Manifest
from ..telemetry.metrics import ModelMetrics
from ..telemetry.model_statistics import ModelStatistics
from .top_k import argmax_rows, as_probabilities


@dataclass(frozen=True, slots=True)
class BatchMetrics:
    """Records a batch in the model's metrics and statistics, and in the time estimate of its admission."""

    manifest: Manifest
    admission: Admission
    metrics: ModelMetrics
    statistics: ModelStatistics

    def __call__(self, scores: Scores, seconds: float) -> None:
        size = len(scores)
        self.admission.record_batch(size, seconds)
        self.statistics.record_batch(size, seconds)
        self.metrics.batch_size.observe(size)
        if self.manifest.classifies:
            self._count_labels(as_probabilities(scores, self.manifest.output.kind))

    def _count_labels(self, probabilities: Scores) -> None:
        predictions, confidence = self.metrics.predictions, self.metrics.confidence
        for index, probability in argmax_rows(probabilities):
            predictions[index].inc()
            if math.isfinite(probability):  # NaN or infinity would make the histogram's sum useless
                confidence.observe(probability)
