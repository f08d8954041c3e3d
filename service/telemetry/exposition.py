"""The metrics page, in the form that is asked for."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder


class Exposition:
    """Renders a registry.

    Args:
        registry: where this server's metrics are registered.
        shared: the folder of the workers' files; None with one process, whose memory and descriptors are
            then told too.
    """

    def __init__(self, registry: CollectorRegistry, shared: Path | None) -> None:
        self._registry = registry
        if shared is None:
            ProcessCollector(registry=registry)

    def render(self, accept: str | None) -> tuple[bytes, str]:
        """The page and its content type, in the format that the Accept header asks for."""
        encode, content_type = choose_encoder(accept or "")
        return encode(self._registry), content_type
