"""Explanations of answers, and the layers of networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from fastapi import FastAPI
from pydantic_core import to_json
from starlette.requests import Request

from ...batching.pending_request import NEVER
from ...config.limits import Limits
from ...errors import InvalidInput, PayloadTooLarge, shown
from ...explain.explainer import Explainer
from ...explain.network import INPUT
from ...explain.rendering.documents import (
    explanation_document,
    layer_document,
    layers_document,
    maps_document,
    npz,
    weight_lists,
)
from ...explain.rendering.pictures import draw_explanation, draw_maps, draw_picture
from ...explain.request import Explanation, FeatureMaps
from ...imaging.decode_pool import EncodedImage
from ...inference.data_plane import DataPlane
from ...inference.model import LoadedModel
from ...repository.inspect_file import InspectFile
from ...security.api_keys import Scope
from ...telemetry.metrics import ServerMetrics
from ..shared.conditional import conditional_response, etag_of
from ..shared.openapi import operation_id
from ..shared.request_body import read_body
from ..shared.request_handler import InferenceContext, inference_endpoint
from ..shared.request_metrics import EXPLAIN
from ..shared.responses import EncodedResponse
from ..shared.routes import InferenceRoute, add_route
from .explain_openapi import (
    EXPLAIN_DESCRIPTION,
    EXPLAIN_PATHS,
    LAYERS_DESCRIPTION,
    LAYERS_PATHS,
    explain_query,
    layers_query,
    response_content,
)
from .explain_parameters import (
    ExplainParameters,
    Format,
    LayersParameters,
    explain_parameters,
    layers_parameters,
)
from .image_body import read_images
from .openapi import request_body

# Numbers of a response in JSON; more are requested as an archive.
MAX_NUMBERS = 65_536

_CONTENT_TYPES = {
    "json": (b"content-type", b"application/json"),
    "png": (b"content-type", b"image/png"),
    "npz": (b"content-type", b"application/octet-stream"),
}


@dataclass(frozen=True, slots=True)
class Explanations:
    """`POST …/explain` and `GET …/layers` of models and versions."""

    plane: DataPlane
    explainer: Explainer
    limits: Limits

    def mount(self, app: FastAPI, telemetry: ServerMetrics) -> None:
        endpoint = inference_endpoint(telemetry, EXPLAIN, self.explain)
        for path in EXPLAIN_PATHS:
            add_route(
                app,
                path,
                endpoint,
                scope=Scope.INFER,
                methods=["POST"],
                route_class=InferenceRoute,
                name="explain",
                summary="Explain the answer for an image",
                description=EXPLAIN_DESCRIPTION,
                responses=response_content("The explanation."),
                openapi_extra={"parameters": explain_query(path), "requestBody": request_body()},
                operation_id=operation_id("explain", path),
                tags=["explain"],
            )
        for path in LAYERS_PATHS:
            add_route(
                app,
                path,
                self.layers,
                scope=Scope.INFER,
                name="layers",
                summary="The layers of a network",
                description=LAYERS_DESCRIPTION,
                responses=response_content("The layers."),
                openapi_extra={"parameters": layers_query(path)},
                operation_id=operation_id("layers", path),
                tags=["explain"],
            )

    async def explain(self, context: InferenceContext) -> EncodedResponse:
        model = context.resolve(self.plane.registry.resolve_named, self.limits.request_timeout)
        parameters = explain_parameters(context.request)
        image = await self._image(context)
        if parameters.wants_maps:
            maps = await self.explainer.feature_maps(
                model, image, parameters.options.layer, deadline=context.deadline, account=context.account
            )
            _check_map(maps, parameters)
            job = _maps_job(maps, parameters)
        else:
            explanation = await self.explainer.explain(
                model, image, parameters.options, deadline=context.deadline, account=context.account
            )
            job = _explanation_job(explanation, parameters.format, model)
        body = await self.explainer.inspector.call(job, context.deadline)
        context.account.charge(len(body))
        return EncodedResponse(body, _CONTENT_TYPES[parameters.format], (b"etag", etag_of(body)))

    async def layers(self, request: Request) -> EncodedResponse:
        model = self.plane.registry.resolve_named(request.scope["path_params"])
        parameters = layers_parameters(request)
        network = await self.explainer.network(model)
        if parameters.layer is None:
            if parameters.format != "json":
                raise InvalidInput(
                    f"format={parameters.format} is for the weights of one layer; name the layer"
                )
            body = to_json(layers_document(network))
        else:
            file = await self.explainer.inspector.file_of(model)
            if file is None:
                raise InvalidInput(str(network.reason))
            found = file
            body = await self.explainer.inspector.call(lambda: _weights(found, parameters), NEVER)
        return conditional_response(request, body, etag_of(body), _CONTENT_TYPES[parameters.format])

    async def _image(self, context: InferenceContext) -> EncodedImage:
        body = await read_body(context.request, self.limits.max_body_bytes)
        images = await read_images(
            self.plane.texts,
            context.headers,
            body,
            self.limits,
            account=context.account,
            deadline=context.deadline,
        )
        if len(images) != 1:
            raise InvalidInput(f"the request has {len(images)} images; one is explained at a time")
        return images[0]


def _explanation_job(explanation: Explanation, kind: Format, model: LoadedModel) -> Callable[[], bytes]:
    if kind == "png":
        return lambda: draw_explanation(explanation)
    if kind == "npz":
        return lambda: npz(
            {
                "input": explanation.picture,
                "cells": explanation.evidence[0].cells,
                "map": explanation.overview,
            }
        )
    return lambda: to_json(explanation_document(explanation, model), inf_nan_mode="null")


def _check_map(maps: FeatureMaps, parameters: ExplainParameters) -> None:
    number = parameters.map_number
    if number is not None and number >= len(maps.values):
        raise InvalidInput(f"{maps.layer} has no map {number}; it has {len(maps.values)}")
    values = maps.values if number is None else maps.values[number]
    if parameters.format == "json" and values.size > MAX_NUMBERS:
        raise PayloadTooLarge(
            f"{maps.layer} has {values.size:,} values; JSON holds at most {MAX_NUMBERS:,}: "
            "request format=npz, or one map"
        )


def _maps_job(maps: FeatureMaps, parameters: ExplainParameters) -> Callable[[], bytes]:
    number = parameters.map_number
    chosen = maps.values if number is None else maps.values[number : number + 1]
    if parameters.format == "npz":
        return lambda: npz({"maps": chosen})
    if parameters.format == "json":
        return lambda: to_json(maps_document(maps, number), inf_nan_mode="null")
    if maps.layer == INPUT and number is None and len(chosen) in (1, 3):
        return lambda: draw_picture(np.clip(chosen.transpose(1, 2, 0), 0, 255).astype(np.uint8))
    return lambda: draw_maps(chosen)


def _weights(file: InspectFile, parameters: LayersParameters) -> bytes:
    """The weights of a layer in the requested form."""
    layer = next((each for each in file.inspection.layers if each.name == parameters.layer), None)
    if layer is None:
        known = ", ".join(each.name for each in file.inspection.layers)
        raise InvalidInput(f"the network has no layer {shown(str(parameters.layer))}; layers: {known}")
    weights = None if layer.weights is None else file.read_weight(layer.weights)
    if weights is None:
        raise InvalidInput(f"{layer.name} has no weights")
    bias = None if layer.bias is None else file.read_weight(layer.bias)
    if parameters.format == "npz":
        return npz({"weights": weights} if bias is None else {"weights": weights, "bias": bias})
    if parameters.format == "png":
        return draw_maps(weights.mean(axis=1) if weights.ndim == 4 else weights[np.newaxis])
    if weights.size > MAX_NUMBERS:
        raise PayloadTooLarge(
            f"{layer.name} has {weights.size:,} weights; JSON holds at most {MAX_NUMBERS:,}: "
            "request format=npz"
        )
    content = {
        "layer": layer_document(layer),
        "weights": weight_lists(weights),
        "bias": None if bias is None else weight_lists(bias),
    }
    return to_json(content, inf_nan_mode="null")
