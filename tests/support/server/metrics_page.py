"""Parses the metrics page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

from tests.support.http.client import get
from tests.support.server.eventually import eventually

Key = tuple[str, frozenset[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class MetricsPage:
    """The samples of one scrape.

    Attributes:
        types: the type of each family.
    """

    text: str
    samples: Mapping[Key, float]
    types: Mapping[str, str]

    @classmethod
    def scrape(cls, url: str) -> Self:
        """Uses a new connection, so that any worker may respond."""
        response = get(f"{url}/metrics")
        assert response.status == 200, response.body
        return cls.parse(response.body.decode())

    @classmethod
    def parse(cls, text: str) -> Self:
        families = list(text_string_to_metric_families(text))
        samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }
        # The parser removes the suffix of a counter's name; here families have the page's names.
        types = {
            family.name + ("_total" if family.type == "counter" else ""): family.type for family in families
        }
        return cls(text, samples, types)

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have at least these labels."""
        return sum(self._matching(name, labels).values())

    def labels(self, name: str) -> list[dict[str, str]]:
        """The labels of each sample of this name."""
        return [dict(key[1]) for key in self._matching(name, {})]

    def is_idle(self) -> bool:
        busy = ("inflight_requests", "images_in_flight", "queue_depth")
        return not any(self.total(f"convserve_{name}") for name in busy)

    def fallen_since(self, earlier: MetricsPage) -> list[Key]:
        """The counters that are smaller than on an earlier page, or missing."""
        return [key for key, value in earlier._cumulative().items() if self.samples.get(key, -1) < value]

    def _matching(self, name: str, labels: Mapping[str, str]) -> Mapping[Key, float]:
        wanted = labels.items()
        return {key: value for key, value in self.samples.items() if key[0] == name and key[1] >= wanted}

    def _cumulative(self) -> Mapping[Key, float]:
        suffixes = ("_total", "_count", "_sum", "_bucket")
        return {key: value for key, value in self.samples.items() if key[0].endswith(suffixes)}


def scrape_until(url: str, condition: Callable[[MetricsPage], bool]) -> MetricsPage:
    """Scrape until a page fulfils the condition, and return that page."""

    def page() -> MetricsPage | None:
        page = MetricsPage.scrape(url)
        return page if condition(page) else None

    return eventually(page)
