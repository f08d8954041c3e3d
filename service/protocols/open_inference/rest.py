"""The Open Inference Protocol v2 over REST, for clients of Triton and KServe.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol, with Triton's extensions:
binary tensor data, classification, statistics, model configuration, model repository.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from fastapi import FastAPI, Request
from starlette.responses import Response

from ...config.limits import Limits
from ...errors import Forbidden, ModelNotFound, PayloadTooLarge, shortened
from ...inference.data_plane import DataPlane
from ...inference.model import LoadedModel
from ...inference.text_executor import INLINE_BYTES
from ...lifecycle.messages import Action
from ...security.api_keys import Scope
from ...telemetry.metrics import ServerMetrics
from ..shared.content_coding import compress, decompress
from ..shared.json_body import COST_PER_BYTE
from ..shared.parsing.text_jobs import parse_text, write_text
from ..shared.request_body import read_body
from ..shared.request_handler import InferenceContext, inference_endpoint
from ..shared.responses import EncodedResponse, error_json, json_response, readiness_response
from ..shared.routes import InferenceRoute, add_route
from .infer_request import infer
from .metadata import all_statistics, config_of, metadata_of, server_metadata, statistics_by_name
from .openapi import INFER_DESCRIPTION, index_body, infer_body, infer_parameters, responses, settings_body
from .read_only_settings import (
    LOGS_FIXED,
    TRACES_FIXED,
    check_unchanged,
    log_settings,
    parse_settings,
    trace_settings,
)
from .repository import Repository, read_index, read_parameters
from .rest_codec import RAW_HEADER_LENGTH, json_size, read_decoded, read_request, write_response

NOT_IMPLEMENTED = 501
# Bodies of all requests but inference hold a few members.
MAX_SMALL_BODY_BYTES = 16 * 1024
# A larger response is written in parts: JSON and raw tensors are not copied into one piece.
MAX_JOINED_BYTES = 64 * 1024
TAG = "Open Inference Protocol"


@dataclass(frozen=True, slots=True)
class OpenInference:
    """Everything below `/v2`."""

    plane: DataPlane
    limits: Limits
    repository: Repository

    def mount(self, app: FastAPI, telemetry: ServerMetrics) -> None:
        add_route(app, "/v2/health/live", self.live, scope=None, tags=[TAG])
        add_route(app, "/v2/health/ready", self.ready, scope=None, tags=[TAG])
        for path, endpoint in self._pages().items():
            add_route(app, path, endpoint, scope=Scope.INFER, tags=[TAG], include_in_schema=path != "/v2/")
        self._mount_administration(app)
        infer = inference_endpoint(telemetry, "open_inference", self.infer)
        for path in ("/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer"):
            add_route(
                app,
                path,
                infer,
                scope=Scope.INFER,
                methods=["POST"],
                route_class=InferenceRoute,
                summary="Infer",
                description=INFER_DESCRIPTION,
                responses=responses(),
                openapi_extra={"parameters": infer_parameters(path), "requestBody": infer_body()},
                tags=[TAG],
            )

    def _mount_administration(self, app: FastAPI) -> None:
        for path in ("/v2/systemsharedmemory/status", "/v2/cudasharedmemory/status"):
            add_route(app, path, self.no_regions, scope=Scope.ADMIN, tags=[TAG])
        add_route(
            app,
            "/v2/repository/index",
            self.index,
            scope=Scope.ADMIN,
            methods=["POST"],
            openapi_extra={"requestBody": index_body()},
            tags=[TAG],
        )
        for action in Action:
            add_route(
                app,
                f"/v2/repository/models/{{name}}/{action}",
                partial(self.change, action),
                scope=Scope.ADMIN,
                methods=["POST"],
                name=f"{action}_model",
                summary=f"{action.capitalize()} a model",
                openapi_extra={"requestBody": settings_body()},
                tags=[TAG],
            )
        for path, settings in (
            ("/v2/logging", self.logging),
            ("/v2/trace/setting", self.tracing),
            ("/v2/models/{name}/trace/setting", self.tracing),
        ):
            add_route(app, path, settings, scope=Scope.ADMIN, tags=[TAG])
            body = {"requestBody": settings_body()}
            add_route(
                app, path, settings, scope=Scope.ADMIN, methods=["POST"], openapi_extra=body, tags=[TAG]
            )
        for path in UNSUPPORTED_PATHS:
            methods = ["GET", "POST"]
            add_route(
                app, path, self.not_supported, scope=Scope.ADMIN, methods=methods, include_in_schema=False
            )

    def _pages(self) -> dict[str, Callable[..., Awaitable[Response]]]:
        pages: dict[str, Callable[..., Awaitable[Response]]] = {
            "/v2": self.server,
            "/v2/": self.server,  # the specification uses both
            "/v2/models": self.models,
            "/v2/models/stats": self.all_statistics,
        }
        for model in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
            pages[model] = self.metadata
            pages[f"{model}/ready"] = self.model_ready
            pages[f"{model}/config"] = self.config
            pages[f"{model}/stats"] = self.statistics
        return pages

    async def infer(self, context: InferenceContext) -> EncodedResponse:
        model = context.resolve(self._resolve, self.limits.request_timeout)
        limit, texts = self.limits.max_body_bytes, self.plane.texts
        received = await read_body(context.request, limit)
        coding = context.header(b"content-encoding")
        body = received
        if coding:
            body = await decompress(
                received, coding, limit, texts, account=context.account, deadline=context.deadline
            )
        header_length = context.header(RAW_HEADER_LENGTH)
        size = json_size(body, header_length)
        arguments = body, header_length, model.manifest, self.limits.json
        if COST_PER_BYTE * size <= INLINE_BYTES:
            parsed = read_request(*arguments)
        else:
            parsed = await parse_text(
                texts,
                context,
                partial(read_decoded, *arguments, self.limits.max_images),
                size=COST_PER_BYTE * size,
                memory=len(body) + 2 * size,  # also for strings, and for what is decoded from them
            )
        if parsed.timeout is not None:
            context.shorten_deadline(parsed.timeout)
        outputs, inference = await infer(
            self.plane.classifier,
            model,
            parsed,
            max_images=self.limits.max_images,
            deadline=context.deadline,
            account=context.account,
            texts=texts,
        )
        context.timings = inference.timings
        size = inference.scores.nbytes
        write = partial(write_response, parsed, model, outputs)
        if size <= INLINE_BYTES:
            content, tensors, headers = write()
        else:
            content, tensors, headers = await write_text(texts, context, write, size=size)
        accepted = context.header(b"accept-encoding")
        size = len(content) + sum(map(len, tensors))
        if accepted or size < MAX_JOINED_BYTES:
            context.account.charge(size if tensors else 0)
            content, tensors = b"".join([content, *tensors]), []
        if accepted:
            content, used = await compress(
                content, accepted, texts, account=context.account, deadline=context.deadline
            )
            if used is not None:
                headers.append((b"content-encoding", used.encode()))
        return EncodedResponse(content, *headers, tail=tensors)

    async def server(self) -> Response:
        return json_response(server_metadata())

    async def live(self) -> Response:
        return json_response({"live": True})

    async def ready(self) -> Response:
        registry = self.plane.registry
        # The specification calls the member "live" in one place and "ready" in another.
        return readiness_response(registry, {"ready": registry.ready, "live": True})

    async def models(self) -> Response:
        return json_response({"models": self.plane.registry.names})

    async def model_ready(self, request: Request) -> Response:
        return json_response({"name": self._resolve(request.path_params).name, "ready": True})

    async def metadata(self, request: Request) -> Response:
        model = self._resolve(request.path_params)
        return json_response(metadata_of(model, self.plane.registry.versions(model.name)))

    async def config(self, request: Request) -> Response:
        return json_response(config_of(self._resolve(request.path_params)))

    async def statistics(self, request: Request) -> Response:
        model = self._resolve(request.path_params)
        version = request.path_params.get("version")
        return json_response(statistics_by_name(self.plane.registry, model.name, version))

    async def all_statistics(self) -> Response:
        return json_response(all_statistics(self.plane.registry))

    async def index(self, request: Request) -> Response:
        """Accept an empty body, and no Content-Type, because tritonclient sends neither."""
        wanted = read_index(await self._read_small(request), self.limits.json)
        return json_response(self.repository.index(ready_only=wanted.ready))

    async def change(self, action: Action, request: Request) -> Response:
        """Load or unload a model; the response comes when every worker has done it."""
        name = request.path_params["name"]
        parameters = read_parameters(await self._read_small(request), self.limits.json)
        _check_origin(request)
        await self.repository.change(action, name, parameters)
        return json_response({"name": name, action.value: True})  # as KServe; Triton's clients read no body

    async def _read_small(self, request: Request) -> bytes:
        """A body of a few members, which is parsed in the event loop.

        Raises:
            PayloadTooLarge: it has more bytes than any such body.
        """
        if self.limits.max_body_bytes <= MAX_SMALL_BODY_BYTES:
            return await read_body(request, self.limits.max_body_bytes)
        try:
            return await read_body(request, MAX_SMALL_BODY_BYTES)
        except PayloadTooLarge as error:
            raise PayloadTooLarge(
                f"the body is larger than {MAX_SMALL_BODY_BYTES:,} bytes, the limit of this path"
            ) from error

    async def no_regions(self) -> Response:
        """Shared memory is not supported, so the list of registered regions is empty."""
        return json_response([])

    async def logging(self, request: Request) -> Response:
        settings = log_settings()
        body = await self._read_small(request)
        check_unchanged(settings, parse_settings(body, self.limits.json), LOGS_FIXED)
        return json_response(settings)

    async def tracing(self, request: Request) -> Response:
        if "name" in request.path_params:
            self._resolve(request.path_params)
        settings = trace_settings()
        body = await self._read_small(request)
        check_unchanged(settings, parse_settings(body, self.limits.json), TRACES_FIXED)
        return json_response(settings)

    async def not_supported(self, request: Request) -> Response:
        return error_json(f"{shortened(request.url.path)} is not supported by this server", NOT_IMPLEMENTED)

    def _resolve(self, names: Mapping[str, str]) -> LoadedModel:
        if not names["name"]:
            raise ModelNotFound("the path names no model")
        return self.plane.registry.resolve_named(names)


def _check_origin(request: Request) -> None:
    """Refuse a call from another site's page, which a browser sends without asking anybody.

    Raises:
        Forbidden: the call comes from such a page.
    """
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        raise Forbidden("pages of other sites may not load or unload models")


UNSUPPORTED_PATHS = (
    "/v2/repository/{repository}/index",
    "/v2/repository/{repository}/models/{name}/load",
    "/v2/repository/{repository}/models/{name}/unload",
    "/v2/systemsharedmemory/{rest:path}",
    "/v2/cudasharedmemory/{rest:path}",
)
