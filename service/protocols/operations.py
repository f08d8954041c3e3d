"""Endpoints for operators: liveness, readiness, metrics and the served models."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from .. import __version__
from ..errors import ModelNotFound, shown
from ..http.path_prefix import PathPrefix
from ..inference.model import LoadedModel
from ..inference.registry import Registry
from ..security.api_keys import Scope
from ..telemetry.exposition import Exposition
from ..telemetry.metrics import ServerMetrics
from .shared.conditional import conditional_response, etag_of
from .shared.openapi import BINARY
from .shared.responses import json_response, readiness_response, state_of
from .shared.routes import add_route

LINKS = {
    "classify": "/classify",
    "models": "/models",
    "docs": "/docs",
    "metrics": "/metrics",
    "live": "/livez",
    "ready": "/readyz",
}
FILE_PATHS = ("/models/{name}/files/{file}", "/models/{name}/versions/{version}/files/{file}")
CONTENT_TYPES: Mapping[str, bytes] = MappingProxyType(
    {"png": b"image/png", "json": b"application/json", "md": b"text/plain; charset=utf-8"}
)
FILE_RESPONSES: Mapping[int | str, dict[str, Any]] = MappingProxyType(
    {
        200: {
            "description": "The file.",
            "content": {
                "image/png": BINARY,
                "application/json": {"schema": {}},
                "text/plain": {"schema": {"type": "string"}},
            },
        }
    }
)
FILE_HEADERS = (
    (b"cache-control", b"private, no-cache"),
    (b"content-security-policy", b"default-src 'none'; sandbox"),
)


class Operations:
    """`GET /`, `/livez`, `/readyz`, `/metrics`, `/models`, `/models/{name}` and its files."""

    def __init__(
        self, registry: Registry, exposition: Exposition, telemetry: ServerMetrics, prefix: PathPrefix
    ) -> None:
        self._registry = registry
        self._exposition = exposition
        self._telemetry = telemetry
        self._prefix = prefix
        # Threads that render pages at the same time would take the interpreter from the event loop.
        self._rendering = asyncio.Lock()

    def mount(self, app: FastAPI) -> None:
        for path, endpoint, scope, summary in (
            ("/", self.root, Scope.INFER, "Links to the endpoints"),
            ("/livez", self.live, None, "Liveness: 200 while the process runs"),
            ("/readyz", self.ready, None, "Readiness: 503 while the server should receive no requests"),
            ("/metrics", self.metrics, Scope.METRICS, "Prometheus metrics"),
            ("/models", self.models, Scope.INFER, "The served models, and those that failed to load"),
            ("/models/{name}", self.model, Scope.INFER, "All versions of one model"),
        ):
            add_route(app, path, endpoint, scope=scope, summary=summary, tags=["operations"])
        for path in FILE_PATHS:
            add_route(
                app,
                path,
                self.file,
                scope=Scope.INFER,
                summary="A picture, table or text of a version",
                responses=dict(FILE_RESPONSES),
                response_class=Response,
                tags=["operations"],
            )

    async def root(self, request: Request) -> Response:
        prefix = self._prefix.of(request.scope)
        links = {name: prefix + path for name, path in LINKS.items()}
        content = {"status": "alive", "name": "convserve", "version": __version__, "links": links}
        return json_response(content, headers={"Vary": "Accept"})

    async def live(self) -> Response:
        return json_response({"status": "alive"})

    async def ready(self) -> Response:
        registry = self._registry
        models = [{"name": model.name, "version": model.version} for model in registry.models]
        content = {"status": state_of(registry), "models": models, **self._conditions()}
        return readiness_response(registry, content)

    async def metrics(self, request: Request) -> Response:
        self._telemetry.ready.set(float(self._registry.ready))
        accepted = request.headers.get("accept")
        async with self._rendering:
            page, content_type = await run_in_threadpool(self._exposition.render, accepted)
        return Response(page, media_type=content_type)

    async def models(self) -> Response:
        registry = self._registry
        return json_response(
            {
                "default": registry.default_name,
                "models": [describe(model) for model in registry.models],
                "labels": {name: registry.labels(name) for name in registry.names if registry.labels(name)},
                **self._conditions(),
            }
        )

    async def model(self, request: Request) -> Response:
        # A declared parameter would make FastAPI import a second pydantic.
        name = request.path_params["name"]
        versions = [describe(model) for model in self._registry.models if model.name == name]
        failed = [failure for failure in self._failed() if failure["name"] == name]
        if not versions and not failed:
            raise self._registry.not_found(name)
        return json_response(
            {
                "name": name,
                "versions": versions,
                "labels": self._registry.labels(name),
                "failed": failed,
                "problem": self._registry.problems.get(name),
            }
        )

    def _conditions(self) -> dict[str, Any]:
        """The versions that are not served, and the changes on disk that have no effect."""
        problems = [{"name": name, "reason": reason} for name, reason in self._registry.problems.items()]
        return {"failed": self._failed(), "problems": problems}

    async def file(self, request: Request) -> Response:
        """A file that came with the version, if its manifest names it; its digest is the ETag."""
        model = self._registry.resolve_named(request.path_params)
        name = request.path_params["file"]
        content = await run_in_threadpool(model.folder.evidence, model.manifest, name)
        if content is None:
            raise ModelNotFound(
                f"{model.name} version {model.version} has no file {shown(name)}; "
                f"available: {', '.join(model.manifest.evidence) or 'none'}"
            )
        content_type = (b"content-type", CONTENT_TYPES[name.rpartition(".")[2]])
        return conditional_response(request, content, etag_of(content), content_type, *FILE_HEADERS)

    def _failed(self) -> Sequence[dict[str, Any]]:
        return [asdict(failure) for failure in self._registry.failures]


def describe(model: LoadedModel) -> dict[str, Any]:
    """A version's manifest, and the provider, device and threads that it runs on."""
    manifest = model.manifest
    return {
        "name": model.name,
        "version": model.version,
        "description": manifest.description,
        "accuracy": manifest.evaluation.accuracy if manifest.evaluation else None,
        "labels": manifest.labels,
        "input": manifest.input,
        "output": manifest.output,
        "files": manifest.evidence,
        "max_batch_size": manifest.max_batch_size,
        "provider": model.engine.provider,
        "device": model.engine.device,
        "threads": model.engine.threads,
        "load_seconds": round(model.load_seconds, 3),
        "provenance": {
            "onnx": manifest.onnx,
            "training": manifest.training,
            "evaluation": manifest.evaluation,
            "parity": manifest.parity,
            "weights": manifest.weights,
            "calibration": manifest.calibration,
            "rewrites": manifest.rewrites,
            "quantization": manifest.quantization,
        },
    }
