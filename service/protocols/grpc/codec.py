"""Parses ModelInferRequest messages and writes ModelInferResponse messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...client_budget import Account
from ...errors import InvalidInput, shown
from ...inference.model import LoadedModel
from ...repository.manifest import Manifest
from ..open_inference.infer_request import (
    InferRequest,
    OutputTensor,
    RequestedOutput,
    check_classification,
    check_inputs,
    check_outputs,
    check_parameters,
    new_id,
)
from ..shared.tensors import Elements, Numbers, RawBytes, TensorPayload
from .handlers import parse
from .inference_pb2 import (
    InferParameter,
    InferTensorContents,
    ModelInferRequest,
    ModelInferResponse,
    ModelStreamInferResponse,
)
from .limits.message_scan import MAX_UNSCANNED_BYTES, ScannedRequest, scan_request
from .limits.wire_format import field_head, read_varint

# A client's request to mark the last response to each request of a stream; here each has exactly one.
MARK_FINAL = "triton_enable_empty_final_response"
FINAL = "triton_final_response"

# Bytes in memory of a parsed element, which may be one byte in a message.
PARSED_BYTES = 4
# More elements than this are converted as an array.
MAX_CONVERTED_ELEMENTS = 16 * 1024

_RAW_OUTPUT_CONTENTS = ModelInferResponse.RAW_OUTPUT_CONTENTS_FIELD_NUMBER
_INFER_RESPONSE = ModelStreamInferResponse.INFER_RESPONSE_FIELD_NUMBER

# The field of InferTensorContents for a datatype's elements; a model's input has one of these datatypes.
_CONTENTS = {"BYTES": "bytes_contents", "UINT8": "uint_contents", "FP32": "fp32_contents"}
_NUMBER_TYPES: dict[str, type[np.generic]] = {"UINT8": np.uint32, "FP32": np.float32}


@dataclass(slots=True)
class ReceivedRequest:
    """A ModelInferRequest whose model is known, and whose other fields are not parsed if it is long.

    Attributes:
        final: the client asks to mark the last response of each request of a stream.
    """

    message: ModelInferRequest
    scanned: ScannedRequest | None = None
    final: bool = False

    @property
    def model(self) -> tuple[str, str]:
        """The requested name and version."""
        model = self.message if self.scanned is None else self.scanned
        return model.model_name, model.model_version

    def parse(
        self, manifest: Manifest, max_images: int, account: Account, *, streaming: bool
    ) -> InferRequest:
        """Parse the rest without copying or decoding raw contents.

        Raises:
            BudgetExceeded, PayloadTooLarge: the contents have too many elements.
            InvalidInput: the inputs, outputs or parameters do not fit the model or the protocol.
        """
        if self.scanned is not None:
            self.scanned.check_contents(manifest, max_images)
            account.charge(PARSED_BYTES * self.scanned.packed_bytes + self.scanned.image_bytes)
            self.message = parse(ModelInferRequest, self.scanned.rest())
        if streaming:
            mark = self.message.parameters.pop(MARK_FINAL, None)
            self.final = mark is not None and mark.bool_param
        if self.scanned is None:
            return read_request(self.message, manifest)
        return read_request(self.message, manifest, self.scanned.raws, self.scanned.images)


def receive_request(data: bytes, max_images: int) -> ReceivedRequest:
    """
    Raises:
        InvalidInput: the bytes are not a ModelInferRequest.
        PayloadTooLarge: it has more fields than a request needs.
    """
    if len(data) <= MAX_UNSCANNED_BYTES:
        return ReceivedRequest(parse(ModelInferRequest, data))
    return ReceivedRequest(ModelInferRequest(), scan_request(data, max_images))


def read_request(
    message: ModelInferRequest,
    manifest: Manifest,
    raws: Sequence[bytes | memoryview] | None = None,
    images: Sequence[memoryview] = (),
) -> InferRequest:
    """Read a message without decoding its tensor; only images are copied.

    Args:
        raws: the raw contents, if they are not in the message.
        images: the elements of bytes_contents that are not in the message.

    Raises:
        InvalidInput: the inputs, outputs or parameters do not fit the model or the protocol.
    """
    timeout = check_parameters(_values(message.parameters))
    check_inputs([tensor.name for tensor in message.inputs], manifest)
    tensor = _tensor(message.inputs[0], message.raw_input_contents if raws is None else raws, images)
    requested = [_requested(output) for output in message.outputs]
    outputs = check_outputs(requested or [RequestedOutput(manifest.output.name, binary=True)], manifest)
    return InferRequest(message.id or new_id(), tensor, outputs, timeout)


def _tensor(
    tensor: ModelInferRequest.InferInputTensor,
    raws: Sequence[bytes | memoryview],
    images: Sequence[memoryview],
) -> TensorPayload:
    if "shared_memory_region" in tensor.parameters:
        raise InvalidInput("shared memory is not supported; send the tensors in the request")
    if not raws:
        return TensorPayload(tensor.name, tensor.datatype, tensor.shape, _contents(tensor, images))
    if len(raws) != 1 or tensor.HasField("contents"):
        raise InvalidInput(
            f"the request has {len(raws)} raw_input_contents for 1 input"
            + (", which also has contents" if tensor.HasField("contents") else "")
        )
    return TensorPayload(tensor.name, tensor.datatype, tensor.shape, RawBytes(raws[0]))


def _contents(
    tensor: ModelInferRequest.InferInputTensor, images: Sequence[memoryview]
) -> Numbers | RawBytes | Elements:
    field = _CONTENTS.get(tensor.datatype)
    if field is None:  # no model has such an input, so decoding rejects the datatype
        return Elements(())
    filled = [each.name for each, _ in tensor.contents.ListFields()]
    if images:
        filled.append(_CONTENTS["BYTES"])
    if filled != [field]:
        raise InvalidInput(
            f"input {shown(tensor.name)} needs its elements in raw_input_contents or in contents.{field}; "
            f"it has {', '.join(filled) or 'neither'}"
        )
    if images:
        return Elements([bytes(image) for image in images])
    elements: Sequence[Any] = getattr(tensor.contents, field)
    number_type = _NUMBER_TYPES.get(tensor.datatype)
    if number_type is None:
        return Elements(elements)
    if len(elements) > MAX_CONVERTED_ELEMENTS and (packed := _packed(tensor.contents, number_type)):
        return RawBytes(packed)
    return Numbers(elements, number_type)


def _packed(contents: InferTensorContents, number_type: type[np.generic]) -> memoryview | None:
    """The raw form of many elements, which are slow to convert one by one; None for bytes above 255."""
    serialized = contents.SerializeToString()
    _, at = read_varint(serialized, 1)
    packed = memoryview(serialized)[at:]
    if number_type is np.float32:
        return packed
    # A number up to 127 is one byte. One up to 255 is two: the number itself, as its high bit says that
    # another byte follows, and 1.
    array = np.frombuffer(packed, np.uint8)
    follows = np.zeros(len(array), np.bool_)
    np.greater_equal(array[:-1], 0x80, out=follows[1:])
    if np.any(array[follows] != 1):
        return None
    return array[~follows].data


def _requested(output: ModelInferRequest.InferRequestedOutputTensor) -> RequestedOutput:
    parameters = _values(output.parameters)
    if "shared_memory_region" in parameters:
        raise InvalidInput("shared memory is not supported; the tensors come in the response")
    classification = (
        check_classification(parameters["classification"]) if "classification" in parameters else 0
    )
    return RequestedOutput(output.name, binary=True, classification=classification)


def _values(parameters: Mapping[str, InferParameter]) -> dict[str, Any]:
    """Each parameter's value; None if the parameter is empty."""
    chosen = ((name, each, each.WhichOneof("parameter_choice")) for name, each in parameters.items())
    return {name: None if choice is None else getattr(each, choice) for name, each, choice in chosen}


@dataclass(frozen=True, slots=True)
class InferResponse:
    """A serialized ModelInferResponse, in parts whose concatenation is the only copy of its tensors."""

    parts: list[bytes | memoryview]

    @property
    def size(self) -> int:
        return sum(map(len, self.parts))


def write_response(
    request: InferRequest, model: LoadedModel, outputs: Sequence[OutputTensor], *, final: bool = False
) -> InferResponse:
    """The response, always with raw contents: tritonclient does not read typed ones."""
    message = ModelInferResponse(
        model_name=model.name,
        model_version=model.version,
        id=request.id,
        outputs=[
            ModelInferResponse.InferOutputTensor(
                name=output.name, datatype=output.datatype, shape=output.shape
            )
            for output in outputs
        ],
    )
    if final:
        message.parameters[FINAL].bool_param = True
    parts: list[bytes | memoryview] = [message.SerializeToString()]
    for output in outputs:
        raw = output.as_bytes()
        parts += [field_head(_RAW_OUTPUT_CONTENTS, len(raw)), raw]
    return InferResponse(parts)


def stream_response(response: InferResponse) -> bytes:
    """The serialized ModelStreamInferResponse that contains a response."""
    return b"".join((field_head(_INFER_RESPONSE, response.size), *response.parts))
