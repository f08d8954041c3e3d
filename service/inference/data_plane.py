"""Builds the parts that serve inference, for the server and the command line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ..config.settings import Settings
from ..engine.session import choose_provider
from ..imaging.decode_pool import DecodePool
from ..process_pool.pool import ProcessPool
from ..system.cpu_quota import available_cores
from ..telemetry.metrics import ServerMetrics
from .classifier import Classifier
from .loader import Loader
from .registry import Registry
from .text_executor import TextExecutor


@dataclass(frozen=True, slots=True)
class DataPlane:
    """The registry of models, what loads and what runs them, and what reads and writes large texts."""

    registry: Registry
    loader: Loader
    classifier: Classifier
    texts: TextExecutor
    processes: ProcessPool

    @classmethod
    def build(
        cls, settings: Settings, telemetry: ServerMetrics, processes: ProcessPool | None = None
    ) -> DataPlane:
        """Create and connect the parts without loading a model.

        Args:
            processes: run long jobs; threads do by default.

        Raises:
            ConfigurationError: this machine cannot provide what a setting requires.
        """
        processes = processes or ProcessPool()
        loader = build_loader(settings, telemetry)
        registry = Registry(
            settings.default_model,
            engine_timeout=settings.engine_timeout_s,
            drain_timeout=settings.shutdown_timeout_s,
        )
        texts = TextExecutor(processes)
        pool = DecodePool(
            _cores(settings),
            processes=processes,
            timeout=settings.decode_timeout_ms / 1000,
            max_decode_bytes=settings.max_decode_bytes,
            max_request_pixels=settings.max_request_pixels,
        )
        return cls(registry, loader, Classifier(pool, texts), texts, processes)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """End all threads and processes on exit, which is after the registry was closed."""
        try:
            yield
        finally:
            self.processes.stop()
            self.classifier.close()
            self.texts.close()
            self.processes.close()


def build_loader(settings: Settings, telemetry: ServerMetrics) -> Loader:
    """The loader of model versions.

    Raises:
        ConfigurationError: this machine cannot provide what a setting requires.
    """
    return Loader(
        telemetry=telemetry,
        provider=choose_provider(settings.provider),
        threads=settings.threads,
        cores=_cores(settings),
        queue_limit=settings.queue_limit,
        max_queue_delay=settings.max_queue_delay_ms / 1000,
        max_wait=settings.max_queue_wait_ms / 1000,
        max_pixels=settings.max_pixels,
        max_response_bytes=settings.max_response_bytes,
        max_model_bytes=settings.max_model_bytes,
        load_timeout=settings.engine_timeout_s,
        max_decode_bytes=settings.max_decode_bytes,
    )


def _cores(settings: Settings) -> int:
    """The cores of each worker."""
    return max(1, available_cores() // settings.workers)
