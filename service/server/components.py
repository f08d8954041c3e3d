"""The application, with what a server needs around it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ..asgi.app import Service, build
from ..config.settings import Settings
from ..errors import ConfigurationError
from ..lifecycle.lifecycle import CoordinatorLink
from ..process_pool.pool import ProcessPool
from ..security.api_keys import ApiKeyStore
from ..security.authorization import Authorizer
from ..security.rate_limiter import RateLimiter
from ..security.tls import Tls, TlsFiles
from ..telemetry.rejections import RejectionCounters
from ..telemetry.request_log import RequestLog

if TYPE_CHECKING:  # loaded only if tracing is on
    from ..telemetry.tracing import Tracing


@dataclass(frozen=True, slots=True)
class Components:
    """The application, with the authorization, logging, tracing and TLS around it."""

    service: Service
    rejections: RejectionCounters
    api_keys: ApiKeyStore | None
    authorizer: Authorizer | None
    tracing: Tracing | None
    request_log: RequestLog | None
    tls: Tls | None

    @classmethod
    def build(
        cls,
        settings: Settings,
        metrics_dir: Path | None,
        processes: ProcessPool,
        coordinator: CoordinatorLink | None = None,
    ) -> Self:
        """Create and connect the components.

        Raises:
            ConfigurationError: the API keys or TLS files are invalid, or this machine lacks what a setting
                needs.
        """
        service = build(settings, metrics_dir=metrics_dir, processes=processes, coordinator=coordinator)
        rejections = RejectionCounters(service.telemetry.connection_rejections)
        api_keys = _api_keys(settings)
        authorizer = None
        if api_keys is not None:
            authorizer = Authorizer(api_keys, RateLimiter(metrics_dir), rejections)
        tracing = _tracing(settings)
        request_log = None
        if settings.access_log or tracing is not None:
            request_log = RequestLog(log=settings.access_log, tracing=tracing)
        tls_files = TlsFiles.of(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
        tls = None if tls_files is None else Tls(tls_files)
        return cls(service, rejections, api_keys, authorizer, tracing, request_log, tls)

    def publish_state(self) -> None:
        """Write the state of this worker to its metrics, which other workers read on a scrape."""
        telemetry, budget = self.service.telemetry, self.service.budget
        telemetry.ready.set(float(self.service.plane.registry.ready))
        telemetry.client_bytes.set(budget.held)
        telemetry.client_budget.set(budget.limit)

    def close(self) -> None:
        if self.tracing is not None:
            self.tracing.close()


def _tracing(settings: Settings) -> Tracing | None:
    if settings.otlp_endpoint is None:
        return None
    try:
        from ..telemetry.tracing import Tracing
    except ImportError as error:
        raise ConfigurationError(
            "CONVSERVE_OTLP_ENDPOINT needs the extra convserve[otel], which is not installed"
        ) from error
    return Tracing(settings.otlp_endpoint, settings.trace_ratio)


def _api_keys(settings: Settings) -> ApiKeyStore | None:
    """The API keys of the settings; None if there are none and every request is authorized."""
    if settings.api_keys is None and settings.api_keys_file is None:
        return None
    text = "" if settings.api_keys is None else settings.api_keys.get_secret_value()
    return ApiKeyStore(text, settings.api_keys_file)
