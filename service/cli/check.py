"""The command `convserve check`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from ..config.settings import Settings
from ..inference.data_plane import DataPlane
from ..lifecycle.lifecycle import Lifecycle
from ..server.startup_banner import StartupBanner
from ..telemetry.metrics import ServerMetrics
from .exit_codes import ExitCode


async def check(settings: Settings) -> ExitCode:
    """Load the versions to serve and print the result; FAILED if one cannot be served.

    Raises:
        ConfigurationError, NothingToServe: the server would not start.
    """
    telemetry = ServerMetrics(CollectorRegistry())
    plane = DataPlane.build(settings, telemetry)
    async with Lifecycle(settings, plane, telemetry).opened():
        banner = StartupBanner.of(plane.registry)
        print(*banner.models, *banner.failures, sep="\n")
        return ExitCode.FAILED if plane.registry.failures else ExitCode.OK
