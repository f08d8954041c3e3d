"""The Open Inference Protocol v2 over gRPC, as clients of Triton and KServe speak it; see inference.proto."""

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
from ..shared.status_codes import TABLE
from . import inference_pb2 as messages
from .cancellable_stream import until
from .codec import read_request, write_answer
from .handlers import Behaviour, Context, Handler, parse, service_handler
from .settings_codec import tell_log_settings, tell_trace_settings

SERVICE = messages.DESCRIPTOR.services_by_name["GRPCInferenceService"]
PROTOCOL = "open_inference_grpc"

# A client's wish to be told which answer of a stream is the last for its request; here each is.
FINAL_WISHED = "triton_enable_empty_final_response"
FINAL = "triton_final_response"

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class OpenInferenceGrpc:
    """The methods of `inference.GRPCInferenceService`.

    Args:
        closing: set when the server stops; a stream then ends with the answer under way.
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
            "SystemSharedMemoryStatus": self.no_regions,
            "CudaSharedMemoryStatus": self.no_regions,
        }

    async def model_infer(
        self, request: messages.ModelInferRequest, context: Context
    ) -> messages.ModelInferResponse:
        """Infer, count it, and remember how it ended; a client that leaves cancels this coroutine."""
        with RequestMetrics(self.telemetry, PROTOCOL, code="INTERNAL") as tally:
            try:
                response = await self._infer(tally, request, context)
                tally.code = "OK"
            except ConvserveError as error:
                tally.record_error(error, TABLE[type(error)].grpc)
                raise
            except asyncio.CancelledError:
                expired = asyncio.get_running_loop().time() >= tally.deadline
                tally.code = "DEADLINE_EXCEEDED" if expired else "CANCELLED"
                raise
        return response

    async def model_stream_infer(
        self, received: AsyncIterator[bytes], context: Context
    ) -> AsyncIterator[messages.ModelStreamInferResponse]:
        """One answer a request, in their order; an error is an answer and does not end the stream."""
        async for data in until(self.closing, received):
            try:
                request = parse(messages.ModelInferRequest, data)
                final = request.parameters.pop(FINAL_WISHED, None)
                response = await self.model_infer(request, context)
            except ConvserveError as error:
                yield messages.ModelStreamInferResponse(error_message=str(error))
            else:
                if final is not None and final.bool_param:
                    response.parameters[FINAL].bool_param = True
                yield messages.ModelStreamInferResponse(infer_response=response)

    async def _infer(
        self, tally: RequestMetrics, request: messages.ModelInferRequest, context: Context
    ) -> messages.ModelInferResponse:
        model = tally.model = self._resolve(request.model_name, request.model_version)
        asked = read_request(request, model.manifest, self.limits.max_images)
        left: float | None = context.time_remaining()
        named = [seconds for seconds in (asked.timeout, left) if seconds is not None]
        tally.expire_in(min(named, default=self.limits.request_timeout))
        outputs, inference = await infer(
            self.plane.classifier, model, asked, max_images=self.limits.max_images, deadline=tally.deadline
        )
        tally.timings = inference.timings
        return write_answer(asked, model, outputs)

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
        """Never an error, as with Triton: its client's `is_model_ready` is False here as it is over REST."""
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
            raise InvalidInput("this server has one repository, which bears no name")
        rows = index_of(self.plane.registry, ready_only=request.ready)
        return _filled(messages.RepositoryIndexResponse(), {"models": rows})

    async def trace_setting(
        self, request: messages.TraceSettingRequest, context: Context
    ) -> messages.TraceSettingResponse:
        if request.model_name:
            self._resolve(request.model_name, "")
        return tell_trace_settings(request)

    async def log_settings(
        self, request: messages.LogSettingsRequest, context: Context
    ) -> messages.LogSettingsResponse:
        return tell_log_settings(request)

    async def no_regions(
        self, request: messages.SharedMemoryStatusRequest, context: Context
    ) -> messages.SharedMemoryStatusResponse:
        """Shared memory is not offered, and a client that asks what it has left there is told so kindly."""
        return messages.SharedMemoryStatusResponse()

    def _resolve(self, name: str, version: str) -> LoadedModel:
        return self.plane.registry.resolve(name, version or None)


def _filled(message: M, content: dict[str, Any]) -> M:
    return ParseDict(content, message)
