"""Counters, gauges and histograms that cost next to nothing to write, told to prometheus_client.

prometheus_client's own children take a lock, and with several workers call `getpid` and pack a struct, each
time: together more than a small network's row. Here a child is a row of a sheet.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from .shared_values import COUNTS, GAUGES, Numbers, SharedValues

Merge = Literal["sum", "max"]


class CounterChild:
    """A number that grows."""

    __slots__ = ("_numbers",)

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    @property
    def value(self) -> float:
        """Of this process alone."""
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
    """How many values fell in each bucket, not cumulated, and their sum."""

    __slots__ = ("_bounds", "_numbers")

    def __init__(self, numbers: Numbers, bounds: Sequence[float]) -> None:
        self._numbers = numbers
        self._bounds = bounds

    def observe(self, value: float) -> None:
        numbers = self._numbers
        numbers[bisect_left(self._bounds, value)] += 1
        numbers[-1] += value


C = TypeVar("C", CounterChild, GaugeChild, HistogramChild)


class Family(Generic[C]):
    """A metric and its children, one for each combination of label values."""

    length = 1

    def __init__(self, name: str, text: str, labels: Sequence[str], values: SharedValues) -> None:
        self.name = name
        self.text = text
        self.label_names = labels
        self._sheet = values
        self._children: dict[tuple[str, ...], C] = {}

    def labels(self, *values: str) -> C:
        child = self._children.get(values)
        if child is None:
            allocate = self._sheet.allocate(json.dumps([self.name, *values]), self.length)
            child = self._children[values] = self._child(allocate)
        return child

    def _child(self, allocate: Numbers) -> C:
        raise NotImplementedError

    def merged(self, one: list[float], other: Sequence[float]) -> list[float]:
        """The numbers of two workers in one."""
        return [a + b for a, b in zip(one, other, strict=True)]

    def metric(self, rows: Iterable[tuple[Sequence[str], list[float]]]) -> Metric:
        """For the metrics page: label values and the merged numbers of each child."""
        raise NotImplementedError


class Counter(Family[CounterChild]):
    """Counts up for ever."""

    def _child(self, allocate: Numbers) -> CounterChild:
        return CounterChild(allocate)

    def metric(self, rows: Iterable[tuple[Sequence[str], list[float]]]) -> Metric:
        metric = CounterMetricFamily(self.name, self.text, labels=self.label_names)
        for values, (number,) in rows:
            metric.add_metric(values, number)
        return metric


class Gauge(Family[GaugeChild]):
    """Tells a state; `merge` says what the states of several workers are together."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], values: SharedValues, merge: Merge
    ) -> None:
        super().__init__(name, text, labels, values)
        self._merge = merge

    def _child(self, allocate: Numbers) -> GaugeChild:
        return GaugeChild(allocate)

    def merged(self, one: list[float], other: Sequence[float]) -> list[float]:
        return super().merged(one, other) if self._merge == "sum" else [max(one[0], other[0])]

    def metric(self, rows: Iterable[tuple[Sequence[str], list[float]]]) -> Metric:
        metric = GaugeMetricFamily(self.name, self.text, labels=self.label_names)
        for values, (number,) in rows:
            metric.add_metric(values, number)
        return metric


class Histogram(Family[HistogramChild]):
    """Counts values by size; a value on a bound belongs below it."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], values: SharedValues, bounds: Sequence[float]
    ) -> None:
        super().__init__(name, text, labels, values)
        self._bounds = bounds
        self.length = len(bounds) + 2  # a bucket without a bound, and the sum

    def _child(self, allocate: Numbers) -> HistogramChild:
        return HistogramChild(allocate, self._bounds)

    def metric(self, rows: Iterable[tuple[Sequence[str], list[float]]]) -> Metric:
        metric = HistogramMetricFamily(self.name, self.text, labels=self.label_names)
        bounds = (*self._bounds, float("inf"))
        names = [floatToGoString(bound) for bound in bounds]  # type: ignore[no-untyped-call]
        for values, (*counts, total) in rows:
            metric.add_metric(values, list(zip(names, accumulate(counts), strict=True)), total)
        return metric


F = TypeVar("F", bound=Family[Any])


class MetricsCollector(Collector):
    """Makes families, and tells prometheus_client what all workers have written in them.

    Args:
        shared: the folder of the workers' sheets; None with one process.
    """

    def __init__(self, namespace: str, shared: Path | None) -> None:
        self._namespace = namespace
        self._counts = SharedValues(shared, COUNTS)
        self._gauges = SharedValues(shared, GAUGES)
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
        """Every family, also one of which nothing has been written yet."""
        merged: dict[str, dict[tuple[str, ...], list[float]]] = {name: {} for name in self._families}
        for values in (self._counts, self._gauges):
            for key, numbers in values.rows():
                name, *values = json.loads(key)
                rows, labels = merged[name], tuple(values)
                rows[labels] = (
                    self._families[name].merged(rows[labels], numbers) if labels in rows else list(numbers)
                )
        for name, family in self._families.items():
            yield family.metric(merged[name].items())
