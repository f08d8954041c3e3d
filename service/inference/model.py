"""A loaded model version."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Executor
from dataclasses import dataclass

from ..batching.admission import Admission
from ..batching.batcher import Batcher
from ..engine.session import Engine
from ..imaging.decoder import Decoder
from ..repository.manifest import Manifest
from ..repository.version_folder import VersionFolder
from ..telemetry.metrics import ModelMetrics
from ..telemetry.model_statistics import ModelStatistics
from .footprint import Footprint
from .idle_arena import IdleArena

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """The parts that serve one version; built by `Loader`, never changed, closed once."""

    folder: VersionFolder
    manifest: Manifest
    engine: Engine
    decoder: Decoder
    footprint: Footprint
    admission: Admission
    batcher: Batcher
    idle_arena: IdleArena
    metrics: ModelMetrics
    statistics: ModelStatistics
    load_seconds: float
    executor: Executor | None

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def version(self) -> str:
        return self.manifest.version

    async def close(self, timeout: float) -> None:
        """Finish the admitted requests, then end the engine's thread.

        A run of the engine cannot be interrupted: if it takes longer than `timeout` seconds, its thread is
        abandoned.
        """
        try:
            async with asyncio.timeout(timeout):
                await self.batcher.drain()
        except TimeoutError:
            logger.error(
                "the engine of %s version %s did not finish within %g s; its thread is abandoned",
                self.name,
                self.version,
                timeout,
            )
        if self.executor is not None:
            self.executor.shutdown(wait=not self.batcher.busy_seconds)
