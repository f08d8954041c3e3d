"""TorchServe's inference API: `curl http://…/predictions/{name} -T image.jpg`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from fastapi import FastAPI
from pydantic_core import to_json
from starlette.responses import Response

from ..config.limits import Limits
from ..errors import InvalidInput
from ..imaging.decode_pool import EncodedImage
from ..inference.data_plane import DataPlane
from ..security.api_keys import Scope
from ..telemetry.metrics import ServerMetrics
from .shared.multipart import read_files, text_size
from .shared.openapi import BINARY, TIMEOUT, error_responses
from .shared.parsing.text_jobs import parse_text
from .shared.request_body import read_body
from .shared.request_handler import InferenceContext, inference_endpoint
from .shared.responses import JSON_CONTENT_TYPE, EncodedResponse, readiness_response
from .shared.routes import InferenceRoute, add_route

TAG = "TorchServe"
TOP_K = 5  # as in TorchServe's image_classifier handler


@dataclass(frozen=True, slots=True)
class TorchServe:
    """`/predictions/{name}`, `/predictions/{name}/{version}` and `/ping`."""

    plane: DataPlane
    limits: Limits

    def mount(self, app: FastAPI, telemetry: ServerMetrics) -> None:
        add_route(app, "/ping", self.ping, scope=None, tags=[TAG])
        endpoint = inference_endpoint(telemetry, "torchserve", self.predict)
        for path in ("/predictions/{name}", "/predictions/{name}/{version}"):
            for method in ("POST", "PUT"):
                names = ["name", "version"] if "version" in path else ["name"]
                add_route(
                    app,
                    path,
                    endpoint,
                    scope=Scope.INFER,
                    methods=[method],
                    route_class=InferenceRoute,
                    summary="Predict",
                    openapi_extra={
                        "parameters": [TIMEOUT],
                        "requestBody": {"required": True, "content": {"application/octet-stream": BINARY}},
                    },
                    responses=error_responses(),
                    operation_id=f"torchserve_{method.lower()}_{len(names)}",
                    tags=[TAG],
                )

    async def ping(self) -> Response:
        registry = self.plane.registry
        return readiness_response(registry, {"status": "Healthy" if registry.ready else "Unhealthy"})

    async def predict(self, context: InferenceContext) -> EncodedResponse:
        """The body is the image, whatever its media type: `curl -T` sends none."""
        model = context.resolve(self.plane.registry.resolve_named, self.limits.request_timeout)
        body = await read_body(context.request, self.limits.max_body_bytes)
        content_type = context.header(b"content-type") or ""
        form = content_type.lower().startswith("multipart/form-data")
        images = [EncodedImage(body)]
        if form:
            read = partial(read_files, content_type, body, self.limits.max_parts)
            images = await parse_text(
                self.plane.texts, context, read, size=text_size(body), memory=2 * len(body)
            )
        if len(images) != 1:
            raise InvalidInput(f"a prediction takes exactly one image; the form has {len(images)}")
        classification = await self.plane.classifier.classify(
            model, images, top_k=TOP_K, deadline=context.deadline, account=context.account
        )
        context.timings = classification.timings
        # Best first: of several classes with the same label, the most probable one counts.
        content: dict[str, float] = {}
        for each in classification.ranked[0]:
            content.setdefault(each.label, each.probability)
        return EncodedResponse(to_json(content, inf_nan_mode="null"), JSON_CONTENT_TYPE)
