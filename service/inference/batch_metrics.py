"""What is counted of every batch that an engine ran: once for all its rows, and not for each request."""

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
    manifest: Manifest
    admission: Admission
    metrics: ModelMetrics
    statistics: ModelStatistics

    def __call__(self, scores: Scores, seconds: float) -> None:
        """A batch ran for so many seconds and gave `(n, …)` scores."""
        size = len(scores)
        self.admission.record_batch(size, seconds)
        self.statistics.ran(size, seconds)
        self.metrics.batch_size.observe(size)
        if self.manifest.classifies:
            self._count_labels(as_probabilities(scores, self.manifest.output.kind))

    def _count_labels(self, probabilities: Scores) -> None:
        """Each row's label, and how sure the model is of it."""
        predictions, confidence = self.metrics.predictions, self.metrics.confidence
        for index, probability in argmax_rows(probabilities):
            predictions[index].inc()
            if math.isfinite(probability):  # another would spoil the sum for good
                confidence.observe(probability)
