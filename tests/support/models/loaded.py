"""Loads a repository as a server does, without serving it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from prometheus_client import CollectorRegistry

from service.config.settings import Settings
from service.inference.data_plane import DataPlane
from service.lifecycle.lifecycle import Lifecycle
from service.telemetry.metrics import ServerMetrics


def loaded(models: Path, **settings: object) -> DataPlane:
    """Loads a repository; nothing looks at it afterwards."""
    wired = Settings(models=models, **settings)  # type: ignore[arg-type]
    telemetry = ServerMetrics(CollectorRegistry())
    plane = DataPlane.build(wired, telemetry)
    asyncio.run(Lifecycle(wired, plane, telemetry).start())
    return plane
