"""The metrics page: this process's numbers, or, where several workers share the port, the sum of all."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector


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
        MultiProcessCollector(registry, str(self._shared))  # type: ignore[no-untyped-call]
        return registry
