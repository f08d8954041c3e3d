"""Renders the metrics page."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder


class Exposition:
    """Renders a registry.

    Args:
        registry: the registry of the server's metrics.
        shared: folder of the workers' tables; None with one process, whose memory and file descriptors are
            included then.
    """

    def __init__(self, registry: CollectorRegistry, shared: Path | None) -> None:
        self._registry = registry
        if shared is None:
            ProcessCollector(registry=registry)

    def render(self, accept: str | None) -> tuple[bytes, str]:
        """The page and its content type, in the format of the Accept header."""
        encode, content_type = choose_encoder(accept or "")
        return encode(self._registry), content_type
