"""Parses inference requests and writes responses over REST: JSON, optionally followed by raw tensors."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter
from pydantic_core import to_json

from ...batching.pending_request import Scores
from ...config.limits import JsonLimits
from ...errors import InvalidInput, shown
from ...inference.model import LoadedModel
from ...repository.manifest import Manifest
from ..shared.json_body import parse_json
from ..shared.parsing.json_scan import restore_arrays
from ..shared.parsing.number_writer import STEP_NUMBERS, numbers_to_json
from ..shared.responses import JSON_CONTENT_TYPE
from ..shared.tensors import (
    DATATYPE_NAMES,
    Decoded,
    Elements,
    JsonValues,
    RawBytes,
    TensorPayload,
    check_json_size,
    decode_tensor,
    row_bytes,
)
from .infer_request import (
    InferRequest,
    OutputTensor,
    RequestedOutput,
    check_classification,
    check_inputs,
    check_outputs,
    check_parameters,
    new_id,
)

HEADER_LENGTH = "Inference-Header-Content-Length"
RAW_HEADER_LENGTH = HEADER_LENGTH.lower().encode()
# A body could contain millions of list elements, each of which would become an object or an error. Only the
# first error is reported.
MAX_LISTED = 64
MAX_ID_LENGTH = 4096


# Some clients write every member, with null for unset ones.
Parameters = Annotated[dict[str, Any], BeforeValidator(lambda given: {} if given is None else given)]


Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class JsonInput(BaseModel):
    model_config = ConfigDict(strict=True)

    name: str
    shape: Annotated[list[Int64], Field(fail_fast=True, max_length=MAX_LISTED)]
    datatype: str
    parameters: Parameters = {}
    data: Annotated[Any, BeforeValidator(restore_arrays)] = None


class JsonOutput(BaseModel):
    model_config = ConfigDict(strict=True)

    name: str
    parameters: Parameters = {}


class JsonRequest(BaseModel):
    model_config = ConfigDict(strict=True)

    # Returned in the response.
    id: Annotated[str, Field(max_length=MAX_ID_LENGTH)] | None = None
    parameters: dict[str, Any] | None = None
    inputs: Annotated[list[JsonInput], Field(fail_fast=True, max_length=MAX_LISTED)]
    outputs: Annotated[list[JsonOutput], Field(fail_fast=True, max_length=MAX_LISTED)] | None = None


_ADAPTER = TypeAdapter(JsonRequest)
# Signatures of image formats that rows of pixels are unlikely to start with.
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xe1", b"GIF87a", b"GIF89a", b"RIFF")
# The end of a response whose only output has no data yet; the numbers go in front of its last three brackets.
_NO_DATA = b"[]}]}"
_DIGITS = re.compile(r"[0-9]{1,18}")


def read_request(
    body: bytes, header_length: str | None, manifest: Manifest, limits: JsonLimits
) -> InferRequest:
    """Parse a body whose first `header_length` bytes are JSON, all of it if the header is missing.

    Raises:
        InvalidInput: it cannot be parsed, or does not fit the model.
    """
    if header_length is None:
        return _read(body, memoryview(b""), manifest, limits)
    length = int(header_length) if _DIGITS.fullmatch(header_length) else -1
    if not 0 <= length <= len(body):
        raise InvalidInput(
            f"{HEADER_LENGTH} must be a number from 0 to the body's {len(body)} bytes, "
            f"not {shown(header_length)}"
        )
    if length == 0:
        return _read_raw(body, manifest)
    return _read(body[:length], memoryview(body)[length:], manifest, limits)


def read_decoded(
    body: bytes, header_length: str | None, manifest: Manifest, limits: JsonLimits, max_images: int
) -> InferRequest:
    """`read_request`, with the tensor decoded.

    Raises:
        InvalidInput, PayloadTooLarge: as `read_request` and `decode_tensor` raise them.
    """
    request = read_request(body, header_length, manifest, limits)
    content = decode_tensor(request.tensor, manifest.input, max_images)
    return replace(request, tensor=replace(request.tensor, payload=Decoded(content)))


def json_size(body: bytes, header_length: str | None) -> int:
    """The bytes of JSON at the start of a body; 0 if the header is invalid."""
    if header_length is None:
        return len(body)
    return int(header_length) if _DIGITS.fullmatch(header_length) else 0


def _read_raw(body: bytes, manifest: Manifest) -> InferRequest:
    """A raw binary request: the body is the data of the one input, a row of pixels or an encoded image.

    An image with exactly a row's number of bytes is recognised by its signature.
    """
    spec = manifest.input
    # Raw pixels do not tell their height and width; an encoded image does.
    is_row = not spec.dynamic and len(body) == row_bytes(spec) and not body.startswith(_SIGNATURES)
    tensor = (
        TensorPayload(spec.name, DATATYPE_NAMES[spec.dtype], [1, *spec.shape], RawBytes(body))
        if is_row
        else TensorPayload(spec.name, "BYTES", [1], Elements([body]))
    )
    return InferRequest(new_id(), tensor, [RequestedOutput(manifest.output.name, binary=True)], None)


def _read(text: bytes, binary: memoryview, manifest: Manifest, limits: JsonLimits) -> InferRequest:
    request = parse_json(_ADAPTER, text, limits)
    timeout = check_parameters(request.parameters)
    check_inputs([tensor.name for tensor in request.inputs], manifest)
    tensor = _tensor(request.inputs[0], binary)
    default = _boolean((request.parameters or {}).get("binary_data_output", False), "binary_data_output")
    outputs = [_requested(output, default) for output in request.outputs or []]
    if not outputs:
        outputs = [RequestedOutput(manifest.output.name, default)]
    return InferRequest(request.id or new_id(), tensor, check_outputs(outputs, manifest), timeout)


def _tensor(tensor: JsonInput, binary: memoryview) -> TensorPayload:
    given: list[str] = [
        name for name in ("binary_data_size", "shared_memory_region") if name in tensor.parameters
    ]
    if "data" in tensor.model_fields_set:
        given.append("data")
    if len(given) != 1 or "shared_memory_region" in given:
        raise InvalidInput(
            f"input {shown(tensor.name)} needs exactly one of data and binary_data_size; "
            f"it has {', '.join(given) or 'neither'}"
        )
    if "data" not in given:
        raw = RawBytes(_binary_of(tensor, binary))
        return TensorPayload(tensor.name, tensor.datatype, tensor.shape, raw)
    if len(binary):
        raise InvalidInput(f"unexpected additional input data: {len(binary)} bytes follow the JSON")
    values = JsonValues(tensor.data, "inputs.0.data")
    return TensorPayload(tensor.name, tensor.datatype, tensor.shape, values)


def _binary_of(tensor: JsonInput, binary: memoryview) -> memoryview:
    size = tensor.parameters["binary_data_size"]
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size < 2**63:
        raise InvalidInput(
            f"binary_data_size of input {shown(tensor.name)} must be an integer of at least 0, "
            f"not {shown(size)}"
        )
    if size > len(binary):
        raise InvalidInput(f"expecting {size - len(binary)} additional bytes for input {shown(tensor.name)}")
    if size < len(binary):
        raise InvalidInput(f"unexpected additional input data: {len(binary) - size} bytes are left over")
    return binary


def _requested(output: JsonOutput, default: bool) -> RequestedOutput:
    parameters = output.parameters
    if "shared_memory_region" in parameters:
        raise InvalidInput("shared memory is not supported; outputs are returned in the body")
    classification = (
        check_classification(parameters["classification"]) if "classification" in parameters else 0
    )
    binary = _boolean(parameters.get("binary_data", default), "binary_data")
    return RequestedOutput(output.name, binary, classification)


def _boolean(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput(f"the parameter {name!r} must be true or false, not {shown(value)}")
    return value


def write_response(
    request: InferRequest, model: LoadedModel, outputs: Sequence[OutputTensor]
) -> tuple[bytes, list[memoryview], list[tuple[bytes, bytes]]]:
    """The JSON of the response, its raw tensors, and its Content-Type and header length."""
    described = [_describe(output) for output in outputs]
    for output in outputs:
        if output.scores is not None and not output.binary:
            check_json_size(output.scores, model.manifest)
    document: dict[str, Any] = {"id": request.id, "model_name": model.name, "model_version": model.version}
    if not all(_is_finite(output.scores) for output in outputs if output.scores is not None):
        document["parameters"] = {"non_finite_as": "null"}  # JSON cannot represent them
    head = to_json(document | {"outputs": described}, inf_nan_mode="null")
    large = next((output.scores for output in outputs if _is_large(output)), None)
    if large is not None:
        head = b"".join([head.removesuffix(_NO_DATA), numbers_to_json(large.ravel(), "null"), _NO_DATA[2:]])
    tail = [output.as_bytes() for output in outputs if output.binary]
    if not tail:
        return head, [], [JSON_CONTENT_TYPE]
    headers = [(b"content-type", b"application/octet-stream"), (RAW_HEADER_LENGTH, b"%d" % len(head))]
    return head, tail, headers


def _is_finite(scores: Scores) -> bool:
    """True if no score is infinite or NaN; the sum takes no memory, and cannot overflow."""
    return math.isfinite(scores.sum(dtype=np.float64))


def _is_large(output: OutputTensor) -> bool:
    """True for scores that are written as JSON in pieces, after the rest."""
    return output.scores is not None and not output.binary and output.scores.size > STEP_NUMBERS


def _describe(output: OutputTensor) -> dict[str, Any]:
    described: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": output.shape}
    if output.binary:
        return described | {"parameters": {"binary_data_size": len(output.as_bytes())}}
    if output.scores is not None:
        return described | {"data": [] if _is_large(output) else output.scores.ravel().tolist()}
    return described | {"data": [element.decode() for element in output.elements]}
