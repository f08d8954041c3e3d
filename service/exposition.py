"""The metrics page: this process's numbers, or, where several workers share the port, the sum of all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector


class Exposition:
    """Renders a registry, or the files that all workers write their shares to.

    Args:
        registry: where this process's metrics are registered.
        shared: the folder of the workers' files (`PROMETHEUS_MULTIPROC_DIR`); None with one process.
    """

    def __init__(self, registry: CollectorRegistry, shared: Path | None) -> None:
        self._registry = registry
        self._shared = shared
        if shared is None:
            ProcessCollector(registry=registry)

    def render(self, accept: str | None) -> tuple[bytes, str]:
        """The page and its content type, in the format that the Accept header asks for."""
        encode, content_type = choose_encoder(accept or "")
        return encode(self._collected()), content_type

    def _collected(self) -> CollectorRegistry:
        if self._shared is None:
            return self._registry
        registry = CollectorRegistry()
        registry.register(_Workers(self._shared))
        return registry


class _Workers(Collector):
    """The sum of what all workers have written, as prometheus_client adds it up.

    Its own collector stumbles over a file that a worker has just made and not yet filled.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        files = [str(path) for path in self._folder.glob("*.db") if path.stat().st_size]
        merged: Iterable[Metric] = MultiProcessCollector.merge(files, accumulate=True)  # type: ignore[no-untyped-call]
        return merged
