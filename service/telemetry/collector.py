"""Counters, gauges and histograms in shared memory, exported through prometheus_client.

The children of prometheus_client itself take a lock at each write, and with several workers call `getpid` and
pack a struct: together more than a small network needs for an image. Here a child writes to a row of a table.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from ..system.shared_memory import Floats, FloatTable

Merge = Literal["sum", "max"]

# Tables: counts of an ended process stay in every sum, its gauges do not.
COUNTS = "counts"
GAUGES = "gauges"
# The value of a gauge that describes something that is gone; it is not exported.
ABSENT = -math.inf


class CounterChild:
    """A number that only grows."""

    __slots__ = ("_numbers",)

    def __init__(self, numbers: Floats) -> None:
        self._numbers = numbers

    @property
    def value(self) -> float:
        """The count of this process."""
        return self._numbers[0]

    def inc(self, amount: float = 1.0) -> None:
        self._numbers[0] += amount


class GaugeChild(CounterChild):
    """A number that goes up and down."""

    __slots__ = ()

    def dec(self, amount: float = 1.0) -> None:
        self._numbers[0] -= amount

    def set(self, value: float) -> None:
        self._numbers[0] = value


class HistogramChild:
    """The number of values in each bucket, not cumulated, and their sum."""

    __slots__ = ("_bounds", "_numbers")

    def __init__(self, numbers: Floats, bounds: Sequence[float]) -> None:
        self._numbers = numbers
        self._bounds = bounds

    def observe(self, value: float) -> None:
        numbers = self._numbers
        numbers[bisect_left(self._bounds, value)] += 1
        numbers[-1] += value


C = TypeVar("C", CounterChild, GaugeChild, HistogramChild)


class Family(Generic[C]):
    """A metric with a child for each combination of label values."""

    length = 1

    def __init__(self, name: str, text: str, labels: Sequence[str], table: FloatTable) -> None:
        self.name = name
        self.text = text
        self.label_names = labels
        self._table = table
        self._children: dict[tuple[str, ...], C] = {}

    def labels(self, *values: str) -> C:
        child = self._children.get(values)
        if child is None:
            row = self._table.row(json.dumps([self.name, *values]), self.length)
            child = self._children[values] = self._child(row)
        return child

    def _child(self, row: Floats) -> C:
        raise NotImplementedError

    def merged(self, one: list[float], other: Sequence[float]) -> list[float]:
        """The numbers of two workers combined."""
        return [a + b for a, b in zip(one, other, strict=True)]

    def metric(self, rows: Iterable[tuple[Sequence[str], list[float]]]) -> Metric:
        """A prometheus_client metric of the label values and merged numbers of each child."""
        raise NotImplementedError


class Counter(Family[CounterChild]):
    def _child(self, row: Floats) -> CounterChild:
        return CounterChild(row)

    def metric(self, rows: Iterable[tuple[Sequence[str], list[float]]]) -> Metric:
        metric = CounterMetricFamily(self.name, self.text, labels=self.label_names)
        for values, (number,) in rows:
            metric.add_metric(values, number)
        return metric


class Gauge(Family[GaugeChild]):
    """A gauge; `merge` says how the values of several workers are combined."""

    def __init__(self, name: str, text: str, labels: Sequence[str], table: FloatTable, merge: Merge) -> None:
        super().__init__(name, text, labels, table)
        self._merge = merge

    def _child(self, row: Floats) -> GaugeChild:
        return GaugeChild(row)

    def merged(self, one: list[float], other: Sequence[float]) -> list[float]:
        if ABSENT in (one[0], other[0]):
            return [max(one[0], other[0])]
        return super().merged(one, other) if self._merge == "sum" else [max(one[0], other[0])]

    def metric(self, rows: Iterable[tuple[Sequence[str], list[float]]]) -> Metric:
        metric = GaugeMetricFamily(self.name, self.text, labels=self.label_names)
        for values, (number,) in rows:
            if number != ABSENT:
                metric.add_metric(values, number)
        return metric


class Histogram(Family[HistogramChild]):
    """Counts of values by bucket; a value equal to a bound belongs to the bucket below it."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], table: FloatTable, bounds: Sequence[float]
    ) -> None:
        super().__init__(name, text, labels, table)
        self._bounds = bounds
        self.length = len(bounds) + 2  # the bucket without a bound, and the sum

    def _child(self, row: Floats) -> HistogramChild:
        return HistogramChild(row, self._bounds)

    def metric(self, rows: Iterable[tuple[Sequence[str], list[float]]]) -> Metric:
        metric = HistogramMetricFamily(self.name, self.text, labels=self.label_names)
        bounds = (*self._bounds, float("inf"))
        names = [floatToGoString(bound) for bound in bounds]  # type: ignore[no-untyped-call]
        for values, (*counts, total) in rows:
            metric.add_metric(values, list(zip(names, accumulate(counts), strict=True)), total)
        return metric


F = TypeVar("F", bound=Family[Any])


class MetricsCollector(Collector):
    """Creates metrics, and exports the numbers of all workers to prometheus_client.

    Args:
        shared: folder of the workers' tables; None with one process.
    """

    def __init__(self, namespace: str, shared: Path | None) -> None:
        self._namespace = namespace
        self._counts = FloatTable(shared, COUNTS)
        self._gauges = FloatTable(shared, GAUGES)
        self._families: dict[str, Family[Any]] = {}

    def counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        return self._add(Counter(f"{self._namespace}_{name}", text, labels, self._counts))

    def gauge(self, name: str, text: str, labels: Sequence[str] = (), *, merge: Merge = "sum") -> Gauge:
        return self._add(Gauge(f"{self._namespace}_{name}", text, labels, self._gauges, merge))

    def histogram(
        self, name: str, text: str, labels: Sequence[str] = (), *, bounds: Sequence[float]
    ) -> Histogram:
        return self._add(Histogram(f"{self._namespace}_{name}", text, labels, self._counts, bounds))

    def _add(self, family: F) -> F:
        self._families[family.name] = family
        return family

    def collect(self) -> Iterable[Metric]:
        """Every metric, including those without children."""
        merged: dict[str, dict[tuple[str, ...], list[float]]] = {name: {} for name in self._families}
        for table in (self._counts, self._gauges):
            for key, numbers in table.rows():
                name, *values = json.loads(key)
                rows, labels = merged[name], tuple(values)
                rows[labels] = (
                    self._families[name].merged(rows[labels], numbers) if labels in rows else list(numbers)
                )
        for name, family in self._families.items():
            yield family.metric(merged[name].items())
