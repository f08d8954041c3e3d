"""The Open Inference Protocol v2 over gRPC, for clients of Triton and KServe; see inference.proto."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from ...config.limits import Limits
from ...errors import ConvserveError, InvalidInput, ModelNotFound, ModelNotReady
from ...inference.data_plane import DataPlane
from ...inference.model import LoadedModel
from ...telemetry.metrics import ServerMetrics
from ..open_inference.infer_request import infer
from ..open_inference.metadata import (
    all_statistics,
    config_of,
    index_of,
    metadata_of,
    server_metadata,
    statistics_by_name,
)
from ..shared.request_metrics import RequestMetrics
from ..shared.status_codes import STATUS_BY_ERROR
from . import inference_pb2 as messages
from .cancellable_stream import read_until
from .codec import read_request, write_response
from .handlers import Behaviour, Context, Handler, parse, service_handler
from .settings_codec import log_settings_response, trace_settings_response

SERVICE = messages.DESCRIPTOR.services_by_name["GRPCInferenceService"]
PROTOCOL = "open_inference_grpc"

# A client's request to mark the last response to each request of a stream; here each has exactly one.
MARK_FINAL = "triton_enable_empty_final_response"
FINAL = "triton_final_response"

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class OpenInferenceGrpc:
    """The methods of `inference.GRPCInferenceService`.

    Args:
        closing: set when the server stops; a stream then ends after the response in progress.
    """

    plane: DataPlane
    limits: Limits
    telemetry: ServerMetrics
    closing: asyncio.Event

    def handler(self) -> Handler:
        return service_handler(SERVICE, self._behaviours())

    def _behaviours(self) -> Mapping[str, Behaviour]:
        return {
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ModelReady": self.model_ready,
            "ServerMetadata": self.server_metadata,
            "ModelMetadata": self.model_metadata,
            "ModelInfer": self.model_infer,
            "ModelStreamInfer": self.model_stream_infer,
            "ModelConfig": self.model_config,
            "ModelStatistics": self.model_statistics,
            "RepositoryIndex": self.repository_index,
            "TraceSetting": self.trace_setting,
            "LogSettings": self.log_settings,
            "SystemSharedMemoryStatus": self.shared_memory_status,
            "CudaSharedMemoryStatus": self.shared_memory_status,
        }

    async def model_infer(
        self, request: messages.ModelInferRequest, context: Context
    ) -> messages.ModelInferResponse:
        """Run inference and record the outcome; a disconnect of the client cancels this coroutine."""
        with RequestMetrics(self.telemetry, PROTOCOL, code="INTERNAL") as metrics:
            try:
                response = await self._infer(metrics, request, context)
                metrics.code = "OK"
            except ConvserveError as error:
                metrics.record_error(error, STATUS_BY_ERROR[type(error)].grpc)
                raise
            except asyncio.CancelledError:
                expired = asyncio.get_running_loop().time() >= metrics.deadline
                metrics.code = "DEADLINE_EXCEEDED" if expired else "CANCELLED"
                raise
        return response

    async def model_stream_infer(
        self, received: AsyncIterator[bytes], context: Context
    ) -> AsyncIterator[messages.ModelStreamInferResponse]:
        """Yield one response for each request, in order; an error does not end the stream."""
        async for data in read_until(self.closing, received):
            try:
                request = parse(messages.ModelInferRequest, data)
                final = request.parameters.pop(MARK_FINAL, None)
                response = await self.model_infer(request, context)
            except ConvserveError as error:
                yield messages.ModelStreamInferResponse(error_message=str(error))
            else:
                if final is not None and final.bool_param:
                    response.parameters[FINAL].bool_param = True
                yield messages.ModelStreamInferResponse(infer_response=response)

    async def _infer(
        self, metrics: RequestMetrics, request: messages.ModelInferRequest, context: Context
    ) -> messages.ModelInferResponse:
        model = metrics.model = self._resolve(request.model_name, request.model_version)
        parsed = read_request(request, model.manifest)
        remaining: float | None = context.time_remaining()
        timeouts = [seconds for seconds in (parsed.timeout, remaining) if seconds is not None]
        metrics.expire_in(min(timeouts, default=self.limits.request_timeout))
        outputs, inference = await infer(
            self.plane.classifier,
            model,
            parsed,
            max_images=self.limits.max_images,
            texts=self.plane.texts,
            deadline=metrics.deadline,
            account=metrics.account,
        )
        metrics.timings = inference.timings
        return write_response(parsed, model, outputs)

    async def server_live(
        self, request: messages.ServerLiveRequest, context: Context
    ) -> messages.ServerLiveResponse:
        return messages.ServerLiveResponse(live=True)

    async def server_ready(
        self, request: messages.ServerReadyRequest, context: Context
    ) -> messages.ServerReadyResponse:
        return messages.ServerReadyResponse(ready=self.plane.registry.ready)

    async def model_ready(
        self, request: messages.ModelReadyRequest, context: Context
    ) -> messages.ModelReadyResponse:
        """Return False for an unknown model, as Triton does, so that its client behaves as over REST."""
        try:
            self._resolve(request.name, request.version)
        except (ModelNotFound, ModelNotReady):
            return messages.ModelReadyResponse(ready=False)
        return messages.ModelReadyResponse(ready=True)

    async def server_metadata(
        self, request: messages.ServerMetadataRequest, context: Context
    ) -> messages.ServerMetadataResponse:
        return _filled(messages.ServerMetadataResponse(), server_metadata())

    async def model_metadata(
        self, request: messages.ModelMetadataRequest, context: Context
    ) -> messages.ModelMetadataResponse:
        model = self._resolve(request.name, request.version)
        versions = self.plane.registry.versions(model.name)
        return _filled(messages.ModelMetadataResponse(), metadata_of(model, versions))

    async def model_config(
        self, request: messages.ModelConfigRequest, context: Context
    ) -> messages.ModelConfigResponse:
        model = self._resolve(request.name, request.version)
        return _filled(messages.ModelConfigResponse(), {"config": config_of(model)})

    async def model_statistics(
        self, request: messages.ModelStatisticsRequest, context: Context
    ) -> messages.ModelStatisticsResponse:
        if request.name:
            statistics = statistics_by_name(self.plane.registry, request.name, request.version or None)
        else:
            statistics = all_statistics(self.plane.registry)
        return _filled(messages.ModelStatisticsResponse(), statistics)

    async def repository_index(
        self, request: messages.RepositoryIndexRequest, context: Context
    ) -> messages.RepositoryIndexResponse:
        if request.repository_name:
            raise InvalidInput("this server has one repository, which has no name")
        rows = index_of(self.plane.registry, ready_only=request.ready)
        return _filled(messages.RepositoryIndexResponse(), {"models": rows})

    async def trace_setting(
        self, request: messages.TraceSettingRequest, context: Context
    ) -> messages.TraceSettingResponse:
        if request.model_name:
            self._resolve(request.model_name, "")
        return trace_settings_response(request)

    async def log_settings(
        self, request: messages.LogSettingsRequest, context: Context
    ) -> messages.LogSettingsResponse:
        return log_settings_response(request)

    async def shared_memory_status(
        self, request: messages.SharedMemoryStatusRequest, context: Context
    ) -> messages.SharedMemoryStatusResponse:
        """Shared memory is not supported; an empty status lets clients that clean up first continue."""
        return messages.SharedMemoryStatusResponse()

    def _resolve(self, name: str, version: str) -> LoadedModel:
        return self.plane.registry.resolve(name, version or None)


def _filled(message: M, content: dict[str, Any]) -> M:
    return ParseDict(content, message)
