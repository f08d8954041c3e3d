"""The composition root: creates and connects every part of the application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI, Request
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from .. import __version__
from ..client_budget import ClientBudget
from ..config.limits import Limits
from ..config.settings import Settings
from ..errors import ConvserveError, shortened
from ..explain.explainer import Explainer
from ..explain.inspector import Inspector
from ..http.path_prefix import PathPrefix
from ..inference.data_plane import DataPlane
from ..lifecycle.lifecycle import CoordinatorLink, Lifecycle
from ..process_pool.pool import ProcessPool
from ..protocols.native.explain_rest import Explanations
from ..protocols.native.input_image import InputImage
from ..protocols.native.rest import Native
from ..protocols.open_inference.repository import Repository
from ..protocols.open_inference.rest import OpenInference
from ..protocols.operations import Operations
from ..protocols.shared.request_handler import disconnected_status
from ..protocols.shared.responses import error_json, error_response
from ..protocols.tensorflow_serving.rest import TensorFlowServing
from ..protocols.torchserve import TorchServe
from ..telemetry.exposition import Exposition
from ..telemetry.metrics import ServerMetrics
from ..ui.docs_page import DocsPage
from ..ui.page import UserInterface
from .dispatch import Application, check_prefix
from .openapi import describe_with_examples


@dataclass(frozen=True, slots=True)
class Service:
    """The ASGI application, and the parts that its server accesses directly."""

    app: Application
    plane: DataPlane
    telemetry: ServerMetrics
    budget: ClientBudget
    lifecycle: Lifecycle


def create_app(settings: Settings) -> Application:
    """The server as an ASGI application.

    Raises:
        ConfigurationError: this machine does not support a setting.
    """
    return build(settings).app


def build(
    settings: Settings,
    *,
    metrics_dir: Path | None = None,
    processes: ProcessPool | None = None,
    coordinator: CoordinatorLink | None = None,
) -> Service:
    """Create and connect every part; the application's lifespan loads the models.

    Args:
        metrics_dir: the folder through which several workers share their metrics; None with one process.
        processes: run long jobs; threads do by default.
        coordinator: decides what several workers serve; None with one process.

    Raises:
        ConfigurationError: this machine does not support a setting.
    """
    collectors = CollectorRegistry()
    telemetry = ServerMetrics(collectors, metrics_dir)
    plane = DataPlane.build(settings, telemetry, processes)
    lifecycle = Lifecycle(settings, plane, telemetry, coordinator)
    explainer = Explainer(plane.classifier, Inspector(settings.explain_bytes))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with lifecycle.opened():
            try:
                yield
            finally:
                explainer.close()

    prefix = PathPrefix.of_settings(settings)
    app = Application(
        _internal_error,
        prefix,
        title="convserve",
        version=__version__,
        summary="Batched image classification with ONNX Runtime.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # clients of several dialects do not follow redirects
    )
    if settings.ui:
        UserInterface(prefix).mount(app)
        Explanations(plane, explainer, Limits.of(settings)).mount(app, telemetry)
    DocsPage().mount(app)
    for dialect in (Native, TensorFlowServing, TorchServe):
        dialect(plane, Limits.of(settings)).mount(app, telemetry)
    repository = Repository(plane.registry, lifecycle)
    OpenInference(plane, Limits.of(settings), repository).mount(app, telemetry)
    InputImage(plane, Limits.of(settings)).mount(app)
    Operations(plane.registry, Exposition(collectors, metrics_dir), telemetry, prefix).mount(app)
    check_prefix(app, prefix)
    app.add_exception_handler(ConvserveError, _domain_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _client_disconnected)
    describe_with_examples(app, plane.registry, prefix)
    return Service(app, plane, telemetry, ClientBudget(settings.client_budget_bytes), lifecycle)


async def _domain_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, ConvserveError):
        raise error
    return error_response(error)


async def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    sentence = (
        f"{request.method} {shortened(request.url.path)}: {error.detail}; GET /docs lists the endpoints"
    )
    return error_json(sentence, error.status_code, error.headers)


async def _client_disconnected(request: Request, error: Exception) -> Response:
    """No client receives this response; without it, the disconnect would be logged as an error."""
    return Response(status_code=disconnected_status(request.scope))


async def _internal_error(request: Request, error: Exception) -> Response:
    """The outermost handler: Starlette sends this response, then raises the error so that it is logged."""
    return error_json("internal error; details are in the server's log", 500)
