"""The metrics page as numbers."""

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
    """Every sample of one scrape.

    Attributes:
        types: the type of each family.
    """

    text: str
    samples: Mapping[Key, float]
    types: Mapping[str, str]

    @classmethod
    def scrape(cls, url: str) -> Self:
        """Over a connection of its own, so that any of several workers may answer."""
        answer = get(f"{url}/metrics")
        assert answer.status == 200, answer.body
        return cls.parse(answer.body.decode())

    @classmethod
    def parse(cls, text: str) -> Self:
        families = list(text_string_to_metric_families(text))
        samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }
        # The parser takes the suffix off a counter's name; here families are called as the page calls them.
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
        """What only ever counts up, but is smaller here than it was earlier, or gone."""
        return [key for key, value in earlier._cumulative().items() if self.samples.get(key, -1) < value]

    def _matching(self, name: str, labels: Mapping[str, str]) -> Mapping[Key, float]:
        wanted = labels.items()
        return {key: value for key, value in self.samples.items() if key[0] == name and key[1] >= wanted}

    def _cumulative(self) -> Mapping[Key, float]:
        suffixes = ("_total", "_count", "_sum", "_bucket")
        return {key: value for key, value in self.samples.items() if key[0].endswith(suffixes)}


def scrape_until(url: str, condition: Callable[[MetricsPage], bool]) -> MetricsPage:
    """The first page of which the condition is true; every scrape gives the server time to get there."""

    def page() -> MetricsPage | None:
        page = MetricsPage.scrape(url)
        return page if condition(page) else None

    return eventually(page)
