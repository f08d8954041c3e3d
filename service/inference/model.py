"""A loaded model version."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Executor
from dataclasses import dataclass, field

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
from .leases import Leases

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """The parts that serve one version; built by `Loader`, never changed, closed once.

    Attributes:
        digest: of the version's files.
        leases: the requests that are bound to this version.
    """

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
    digest: str
    leases: Leases = field(default_factory=Leases)

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def version(self) -> str:
        return self.manifest.version

    async def close(self, timeout: float) -> None:
        """Finish the requests that are bound to this version, then end the engine and give its memory back.

        A run of the engine cannot be interrupted: if it takes longer than `timeout` seconds, its thread is
        abandoned.
        """
        try:
            async with asyncio.timeout(timeout):
                await self.leases.all_returned()
                await self.batcher.drain()
        except TimeoutError:
            logger.error(
                "the requests to %s version %s did not finish within %g s",
                self.name,
                self.version,
                timeout,
            )
        if self.batcher.busy_seconds:  # the engine is still used
            if self.executor is not None:
                self.executor.shutdown(wait=False)
            return
        await asyncio.get_running_loop().run_in_executor(self.executor, self.engine.close)
        if self.executor is not None:
            self.executor.shutdown()

    def discard(self) -> None:
        """End a version that has never been served."""
        if self.executor is None:
            self.engine.close()
        else:
            self.executor.submit(self.engine.close)
            self.executor.shutdown(wait=False)
