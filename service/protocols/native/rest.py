"""The native dialect: images in, labels out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from fastapi import FastAPI
from starlette.requests import Request

from ...config.limits import Limits
from ...errors import InvalidInput, PayloadTooLarge, shown
from ...imaging.decode_pool import EncodedImage
from ...inference.data_plane import DataPlane
from ...inference.text_executor import INLINE_BYTES
from ...security.api_keys import Scope
from ...telemetry.metrics import ServerMetrics
from ..shared.openapi import operation_id
from ..shared.parsing.text_jobs import write_text
from ..shared.request_body import read_body
from ..shared.request_handler import InferenceContext, inference_endpoint
from ..shared.responses import JSON_CONTENT_TYPE, EncodedResponse
from ..shared.routes import InferenceRoute, add_route
from .image_body import read_images
from .json_codec import as_json
from .openapi import DESCRIPTION, PATHS, parameters, request_body, responses

DEFAULT_TOP_K = 5

MAX_QUERY_LENGTH = 1000
# Bytes of JSON of a class in a response, about.
PREDICTION_BYTES = 60

QUERY_PARAMETERS = ("top_k",)

# Nearly every query has this form; the general parser takes longer than ranking.
_PLAIN_TOP_K = re.compile(rb"top_k=([1-9][0-9]{0,8})")


@dataclass(frozen=True, slots=True)
class Native:
    """`POST /classify` and `/models/{name}/…/classify`, with a version, a label, or neither."""

    plane: DataPlane
    limits: Limits

    def mount(self, app: FastAPI, telemetry: ServerMetrics) -> None:
        endpoint = inference_endpoint(telemetry, "native", self.classify)
        for path in PATHS:
            add_route(
                app,
                path,
                endpoint,
                scope=Scope.INFER,
                methods=["POST"],
                route_class=InferenceRoute,
                name="classify",
                summary="Classify images",
                description=DESCRIPTION,
                responses=responses(),
                openapi_extra={"parameters": parameters(path), "requestBody": request_body()},
                operation_id=operation_id("classify", path),
                tags=["classify"],
            )

    async def classify(self, context: InferenceContext) -> EncodedResponse:
        model = context.resolve(self.plane.registry.resolve_named, self.limits.request_timeout)
        top_k = _top_k(context.request)
        body = await read_body(context.request, self.limits.max_body_bytes)
        images = await read_images(
            self.plane.texts,
            context.headers,
            body,
            self.limits,
            account=context.account,
            deadline=context.deadline,
        )
        self._check_count(images)
        classification = await self.plane.classifier.classify(
            model, images, top_k=top_k, deadline=context.deadline, account=context.account
        )
        context.timings = classification.timings
        size = len(images) * min(top_k, len(model.manifest.labels)) * PREDICTION_BYTES
        if size <= INLINE_BYTES:
            return EncodedResponse(as_json(classification), JSON_CONTENT_TYPE)
        text = await write_text(self.plane.texts, context, partial(as_json, classification), size=size)
        return EncodedResponse(text, JSON_CONTENT_TYPE)

    def _check_count(self, images: Sequence[EncodedImage]) -> None:
        if not images:
            raise InvalidInput("the request has no images")
        if len(images) > self.limits.max_images:
            raise PayloadTooLarge(
                f"the request has {len(images)} images; the limit is {self.limits.max_images} "
                "(CONVSERVE_MAX_IMAGES)"
            )


def _top_k(request: Request) -> int:
    query = request.scope["query_string"]
    if not query:
        return DEFAULT_TOP_K
    if plain := _PLAIN_TOP_K.fullmatch(query):
        return int(plain[1])
    if len(query) > MAX_QUERY_LENGTH:
        raise InvalidInput(f"the query has more than {MAX_QUERY_LENGTH:,} characters")
    unknown = next((name for name in request.query_params if name not in QUERY_PARAMETERS), None)
    if unknown is not None:
        known = ", ".join(QUERY_PARAMETERS)
        raise InvalidInput(f"unknown query parameter {shown(unknown)}; known parameters: {known}")
    text = request.query_params.get("top_k")
    if text is None:
        return DEFAULT_TOP_K
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) > 0):
        raise InvalidInput(f"top_k must be an integer of at least 1, not {shown(text)}")
    return int(text)
