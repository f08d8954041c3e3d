"""TensorFlow Serving's REST API, with the additional members of KServe's v1 protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from starlette.responses import Response

from ...config.limits import Limits
from ...errors import InvalidInput, shortened
from ...inference.classifier import Inference, check_classifies
from ...inference.data_plane import DataPlane
from ...inference.footprint import JSON_NUMBER_BYTES, PREDICTION_BYTES
from ...inference.model import LoadedModel
from ...security.api_keys import Scope
from ...telemetry.metrics import ServerMetrics
from ..shared.content_coding import decompress
from ..shared.json_body import COST_PER_BYTE
from ..shared.openapi import TIMEOUT, error_responses, path_parameters
from ..shared.parsing.number_writer import numbers_to_json
from ..shared.parsing.text_jobs import parse_text, write_text
from ..shared.request_body import read_body
from ..shared.request_handler import InferenceContext, inference_endpoint
from ..shared.responses import JSON_CONTENT_TYPE, EncodedResponse, error_json, json_response
from ..shared.routes import InferenceRoute, add_route
from ..shared.tensors import check_json_size
from .rest_codec import SIGNATURE, Content, read_classify, read_predict, write_results

T = TypeVar("T")

TAG = "TensorFlow Serving"
_TYPES = {"uint8": "DT_UINT8", "float32": "DT_FLOAT"}
_MODEL_PATHS = (
    "/v1/models/{name}",
    "/v1/models/{name}/versions/{version}",
    "/v1/models/{name}/labels/{label}",
)


@dataclass(frozen=True, slots=True)
class TensorFlowServing:
    """Everything below `/v1`."""

    plane: DataPlane
    limits: Limits

    def mount(self, app: FastAPI, telemetry: ServerMetrics) -> None:
        add_route(app, "/v1/models", self.models, scope=Scope.INFER, tags=[TAG])
        verbs = {"predict": self.predict, "classify": self.classify, "{verb}": self.other}
        for path in _MODEL_PATHS:
            add_route(app, f"{path}/metadata", self.metadata, scope=Scope.INFER, tags=[TAG])
            add_route(app, path, self.status, scope=Scope.INFER, tags=[TAG])
            for verb, handler in verbs.items():
                add_route(
                    app,
                    f"{path}:{verb}",
                    inference_endpoint(telemetry, "tensorflow_serving", handler),
                    scope=Scope.INFER,
                    methods=["POST"],
                    route_class=InferenceRoute,
                    include_in_schema=verb != "{verb}",
                    summary=verb.capitalize(),
                    openapi_extra=_openapi(path, verb),
                    responses=error_responses(),
                    tags=[TAG],
                )

    async def models(self) -> Response:
        return json_response({"models": self.plane.registry.names})

    async def status(self, request: Request) -> Response:
        """TensorFlow Serving's list of versions and KServe's readiness, in one object."""
        model = self.plane.registry.resolve_named(request.path_params)
        named = model.version if {"version", "label"} & request.path_params.keys() else None
        states = [
            _state(version, "AVAILABLE", "OK", "")
            for version in reversed(self.plane.registry.versions(model.name))
            if named in (None, version)
        ]
        if named is None:
            failures = [failure for failure in self.plane.registry.failures if failure.name == model.name]
            states += [_state(failure.version, "END", "INTERNAL", failure.reason) for failure in failures]
        return json_response({"model_version_status": states, "name": model.name, "ready": True})

    async def metadata(self, request: Request) -> Response:
        model = self.plane.registry.resolve_named(request.path_params)
        manifest = model.manifest
        signature = {
            "inputs": {
                manifest.input.name: _tensor(
                    manifest.input.name, _TYPES[manifest.input.dtype], *manifest.input.axes
                )
            },
            "outputs": {
                manifest.output.name: _tensor(manifest.output.name, "DT_FLOAT", *manifest.output_axes)
            },
            "method_name": "tensorflow/serving/predict",
            "defaults": {},
        }
        return json_response(
            {
                "model_spec": {"name": model.name, "signature_name": "", "version": model.version},
                "metadata": {"signature_def": {"signature_def": {SIGNATURE: signature}}},
            }
        )

    async def predict(self, context: InferenceContext) -> Response:
        model, body = await self._receive(context)
        job = partial(read_predict, body, model.manifest.input, self.limits.max_images, self.limits.json)
        content, key = await self._parse(context, job, body)
        inference = await self._infer(context, model, content)
        check_json_size(inference.scores, model.manifest)
        # Like TensorFlow Serving, writes NaN and Infinity literally, though JSON does not allow them.
        numbers = partial(numbers_to_json, inference.scores, "constants")
        text = await write_text(self.plane.texts, context, numbers, size=inference.scores.nbytes)
        return EncodedResponse(b'{"%b":%b}' % (key.encode(), text), JSON_CONTENT_TYPE)

    async def classify(self, context: InferenceContext) -> Response:
        model, body = await self._receive(context)
        check_classifies(model)
        job = partial(read_classify, body, model.manifest.input, self.limits.max_images, self.limits.json)
        inference = await self._infer(context, model, await self._parse(context, job, body))
        write = partial(write_results, inference.scores, model.manifest.labels)
        text = await write_text(self.plane.texts, context, write, size=inference.scores.nbytes)
        return EncodedResponse(text, JSON_CONTENT_TYPE)

    async def other(self, context: InferenceContext) -> Response:
        """Verbs in any case, as TensorFlow Serving accepts them, and unsupported verbs."""
        verb = context.path_params["verb"].lower()
        if verb == "predict":
            return await self.predict(context)
        if verb == "classify":
            return await self.classify(context)
        if verb in ("regress", "explain"):
            return error_json(f":{verb} is not supported; use :predict or :classify", 501)
        raise InvalidInput(f"unknown verb :{shortened(verb)}; use :predict or :classify")

    async def _receive(self, context: InferenceContext) -> tuple[LoadedModel, bytes]:
        model = context.resolve(self.plane.registry.resolve_named, self.limits.request_timeout)
        received = await read_body(context.request, self.limits.max_body_bytes)
        return model, await decompress(
            received,
            context.header(b"content-encoding") or "",
            self.limits.max_body_bytes,
            self.plane.texts,
            account=context.account,
            deadline=context.deadline,
        )

    async def _parse(self, context: InferenceContext, job: Callable[[], T], body: bytes) -> T:
        size = COST_PER_BYTE * len(body)
        return await parse_text(self.plane.texts, context, job, size=size, memory=2 * len(body))

    async def _infer(self, context: InferenceContext, model: LoadedModel, content: Content) -> Inference:
        inference = await self.plane.classifier.infer(
            model,
            content,
            deadline=context.deadline,
            account=context.account,
            response_bytes_per_score=PREDICTION_BYTES if model.manifest.classifies else JSON_NUMBER_BYTES,
        )
        context.timings = inference.timings
        return inference


def _state(version: str, state: str, code: str, message: str) -> dict[str, Any]:
    return {"version": version, "state": state, "status": {"error_code": code, "error_message": message}}


def _tensor(name: str, dtype: str, *axes: int | None) -> dict[str, Any]:
    """A TensorInfo in protobuf's JSON form: 64-bit integers are strings, and dynamic axes -1."""
    dims = [{"size": str(-1 if axis is None else axis), "name": ""} for axis in (None, *axes)]
    return {
        "dtype": dtype,
        "tensor_shape": {"dim": dims, "unknown_rank": False},
        "name": f"{name}:0",
    }


def _openapi(path: str, verb: str) -> dict[str, Any]:
    members = {"predict": ["instances", "inputs"], "classify": ["examples"]}.get(verb, [])
    schema = {"type": "object", "properties": {member: {} for member in members}}
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    return {"parameters": [*path_parameters(path), TIMEOUT], "requestBody": body}
