"""TorchServe's inference API: `curl http://…/predictions/{name} -T picture.jpg`."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.responses import Response

from ..classifier import Classifier
from ..decoding import Image
from ..errors import InvalidInput
from ..registry import Registry
from ..telemetry import Telemetry
from .body import read_body
from .exchange import Exchange, InferenceRoute, counted
from .multipart import read_files
from .native_openapi import TIMEOUT, error_responses
from .replies import json_reply, server_timing

TAG = "TorchServe"
TOP_K = 5  # as its own image classifier's handler answers


class TorchServe:
    """`/predictions/{name}`, `/predictions/{name}/{version}` and `/ping`."""

    def __init__(
        self,
        registry: Registry,
        classifier: Classifier,
        *,
        request_timeout: float,
        max_body_bytes: int,
        max_images: int,
    ) -> None:
        self._registry = registry
        self._classifier = classifier
        self._request_timeout = request_timeout
        self._max_body_bytes = max_body_bytes

    def mount(self, app: FastAPI, telemetry: Telemetry) -> None:
        app.router.add_api_route("/ping", self.ping, methods=["GET"], tags=[TAG])
        endpoint = counted(telemetry, "torchserve", self.predict)
        picture = {"schema": {"type": "string", "format": "binary"}}
        for path in ("/predictions/{name}", "/predictions/{name}/{version}"):
            for method in ("POST", "PUT"):
                names = ["name", "version"] if "version" in path else ["name"]
                app.router.add_api_route(
                    path,
                    endpoint,
                    methods=[method],
                    route_class_override=InferenceRoute,
                    summary="Predict",
                    openapi_extra={
                        "parameters": [TIMEOUT],
                        "requestBody": {"required": True, "content": {"application/octet-stream": picture}},
                    },
                    responses=error_responses(),
                    operation_id=f"torchserve_{method.lower()}_{len(names)}",
                    tags=[TAG],
                )

    async def ping(self) -> Response:
        ready = self._registry.ready
        return json_reply({"status": "Healthy" if ready else "Unhealthy"}, 200 if ready else 503)

    async def predict(self, exchange: Exchange) -> Response:
        """The body is the picture whatever its media type: `curl -T` sends none."""
        request = exchange.request
        names = request.path_params
        model = exchange.model = self._registry.resolve(names["name"], names.get("version"))
        exchange.set_deadline(self._request_timeout)
        body = await read_body(request, self._max_body_bytes)
        content_type = request.headers.get("content-type", "")
        form = content_type.lower().startswith("multipart/form-data")
        images = read_files(content_type, body) if form else [Image(body)]
        if len(images) != 1:
            raise InvalidInput(f"a prediction is asked for one picture; the form holds {len(images)}")
        answer = await self._classifier.classify(model, images, top_k=TOP_K, deadline=exchange.deadline)
        exchange.timings = answer.timings
        return json_reply(
            {each.label: each.probability for each in answer.ranked[0]},
            headers={"Server-Timing": server_timing(answer.timings)},
        )
