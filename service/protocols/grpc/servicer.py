"""The Open Inference Protocol v2 over gRPC, for clients of Triton and KServe; see inference.proto."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from ...config.limits import Limits
from ...errors import ConvserveError, InvalidInput, ModelNotFound, ModelNotReady, PayloadTooLarge
from ...inference.data_plane import DataPlane
from ...inference.footprint import SCORE_BYTES
from ...inference.model import LoadedModel
from ...lifecycle.messages import Action
from ...telemetry.metrics import ServerMetrics
from ..open_inference.infer_request import infer
from ..open_inference.metadata import (
    all_statistics,
    config_of,
    metadata_of,
    server_metadata,
    statistics_by_name,
)
from ..open_inference.repository import Repository
from ..shared.request_metrics import RequestMetrics
from ..shared.status_codes import STATUS_BY_ERROR
from . import inference_pb2 as messages
from .call_acceptors import MethodHandler
from .codec import InferResponse, receive_request, stream_response, write_response
from .handlers import Behaviour, Response, ServiceHandlers, status_message, takes_bytes
from .limits.calls import COPIES, Call
from .settings_codec import log_settings_response, trace_settings_response

SERVICE = messages.DESCRIPTOR.services_by_name["GRPCInferenceService"]
PROTOCOL = "open_inference_grpc"

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class OpenInferenceGrpc:
    """The methods of `inference.GRPCInferenceService`."""

    plane: DataPlane
    limits: Limits
    telemetry: ServerMetrics
    repository: Repository

    def handlers(self, handlers: ServiceHandlers) -> dict[str, MethodHandler]:
        return handlers.create(SERVICE, self._behaviours())

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
            "RepositoryModelLoad": self.load,
            "RepositoryModelUnload": self.unload,
            "TraceSetting": self.trace_setting,
            "LogSettings": self.log_settings,
            "SystemSharedMemoryStatus": self.shared_memory_status,
            "CudaSharedMemoryStatus": self.shared_memory_status,
        }

    @takes_bytes
    async def model_infer(self, data: bytes, call: Call) -> bytes:
        """Run inference and record the outcome; a disconnect of the client cancels this coroutine."""
        return b"".join((await self._recorded_infer(data, call)).parts)

    async def model_stream_infer(self, received: Call, call: Call) -> AsyncIterator[Response]:
        """Yield one response for each request, in order; an error of a request does not end the stream."""
        while True:
            try:
                if (data := await call.receive(self.limits.max_message_bytes)) is None:
                    return
                yield stream_response(await self._recorded_infer(data, call))
            except ConvserveError as error:
                if call.failed:
                    raise
                yield messages.ModelStreamInferResponse(error_message=status_message(error))

    async def _recorded_infer(self, data: bytes, call: Call) -> InferResponse:
        with RequestMetrics(self.telemetry, PROTOCOL, code="INTERNAL", account=call.account) as metrics:
            try:
                response = await self._infer(metrics, data, call)
                metrics.code = "OK"
            except ConvserveError as error:
                metrics.record_error(error, STATUS_BY_ERROR[type(error)].grpc)
                raise
            except asyncio.CancelledError:
                expired = asyncio.get_running_loop().time() >= metrics.deadline
                metrics.code = "DEADLINE_EXCEEDED" if expired else "CANCELLED"
                raise
        return response

    async def _infer(self, metrics: RequestMetrics, data: bytes, call: Call) -> InferResponse:
        received = receive_request(data, self.limits.max_images)
        model = self._resolve(*received.model)
        metrics.bind(model)
        parsed = received.parse(
            model.manifest, self.limits.max_images, call.account, streaming=call.streaming
        )
        timeouts = [seconds for seconds in (parsed.timeout, call.time_remaining()) if seconds is not None]
        metrics.expire_in(min(timeouts, default=self.limits.request_timeout))
        outputs, inference = await infer(
            self.plane.classifier,
            model,
            parsed,
            max_images=self.limits.max_images,
            texts=self.plane.texts,
            deadline=metrics.deadline,
            account=call.account,
            binary_bytes_per_score=COPIES * SCORE_BYTES,
            max_binary_bytes=self.limits.max_message_bytes,
        )
        metrics.timings = inference.timings
        response = write_response(parsed, model, outputs, final=received.final)
        if response.size > self.limits.max_message_bytes:
            raise PayloadTooLarge(
                f"the response has {response.size:,} bytes; a message holds at most "
                f"{self.limits.max_message_bytes:,} (CONVSERVE_GRPC_MAX_MESSAGE_BYTES)"
            )
        return response

    async def server_live(
        self, request: messages.ServerLiveRequest, call: Call
    ) -> messages.ServerLiveResponse:
        return messages.ServerLiveResponse(live=True)

    async def server_ready(
        self, request: messages.ServerReadyRequest, call: Call
    ) -> messages.ServerReadyResponse:
        return messages.ServerReadyResponse(ready=self.plane.registry.ready)

    async def model_ready(
        self, request: messages.ModelReadyRequest, call: Call
    ) -> messages.ModelReadyResponse:
        """Return False for an unknown model, as Triton does, so that its client behaves as over REST."""
        try:
            self._resolve(request.name, request.version)
        except (ModelNotFound, ModelNotReady):
            return messages.ModelReadyResponse(ready=False)
        return messages.ModelReadyResponse(ready=True)

    async def server_metadata(
        self, request: messages.ServerMetadataRequest, call: Call
    ) -> messages.ServerMetadataResponse:
        return _filled(messages.ServerMetadataResponse(), server_metadata())

    async def model_metadata(
        self, request: messages.ModelMetadataRequest, call: Call
    ) -> messages.ModelMetadataResponse:
        model = self._resolve(request.name, request.version)
        versions = self.plane.registry.versions(model.name)
        return _filled(messages.ModelMetadataResponse(), metadata_of(model, versions))

    async def model_config(
        self, request: messages.ModelConfigRequest, call: Call
    ) -> messages.ModelConfigResponse:
        model = self._resolve(request.name, request.version)
        return _filled(messages.ModelConfigResponse(), {"config": config_of(model)})

    async def model_statistics(
        self, request: messages.ModelStatisticsRequest, call: Call
    ) -> messages.ModelStatisticsResponse:
        if request.name:
            statistics = statistics_by_name(self.plane.registry, request.name, request.version or None)
        else:
            statistics = all_statistics(self.plane.registry)
        return _filled(messages.ModelStatisticsResponse(), statistics)

    async def repository_index(
        self, request: messages.RepositoryIndexRequest, call: Call
    ) -> messages.RepositoryIndexResponse:
        _check_repository(request.repository_name)
        rows = self.repository.index(ready_only=request.ready)
        return _filled(messages.RepositoryIndexResponse(), {"models": rows})

    async def load(
        self, request: messages.RepositoryModelLoadRequest, call: Call
    ) -> messages.RepositoryModelLoadResponse:
        _check_repository(request.repository_name)
        await self.repository.change(Action.LOAD, request.model_name, request.parameters)
        return messages.RepositoryModelLoadResponse(model_name=request.model_name, isLoaded=True)

    async def unload(
        self, request: messages.RepositoryModelUnloadRequest, call: Call
    ) -> messages.RepositoryModelUnloadResponse:
        _check_repository(request.repository_name)
        await self.repository.change(Action.UNLOAD, request.model_name, request.parameters)
        return messages.RepositoryModelUnloadResponse(model_name=request.model_name, isUnloaded=True)

    async def trace_setting(
        self, request: messages.TraceSettingRequest, call: Call
    ) -> messages.TraceSettingResponse:
        if request.model_name:
            self._resolve(request.model_name, "")
        return trace_settings_response(request)

    async def log_settings(
        self, request: messages.LogSettingsRequest, call: Call
    ) -> messages.LogSettingsResponse:
        return log_settings_response(request)

    async def shared_memory_status(
        self, request: messages.SharedMemoryStatusRequest, call: Call
    ) -> messages.SharedMemoryStatusResponse:
        """Shared memory is not supported; an empty status lets clients that clean up first continue."""
        return messages.SharedMemoryStatusResponse()

    def _resolve(self, name: str, version: str) -> LoadedModel:
        return self.plane.registry.resolve(name, version or None)


def _check_repository(name: str) -> None:
    if name:
        raise InvalidInput("this server has one repository, which has no name")


def _filled(message: M, content: dict[str, Any]) -> M:
    return ParseDict(content, message)
