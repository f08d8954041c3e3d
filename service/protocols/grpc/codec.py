"""An inference request and its answer over gRPC: protobuf messages with raw or typed tensor contents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...batching.pending_request import Rows
from ...errors import InvalidInput
from ...imaging.decode_pool import EncodedImage
from ...inference.model import LoadedModel
from ...repository.manifest import InputSpec, Manifest
from ..open_inference.infer_request import (
    InferRequest,
    OutputTensor,
    RequestedOutput,
    check_inputs,
    check_outputs,
    check_parameters,
    classes_wanted,
    new_id,
)
from ..shared.tensors import (
    check_datatype,
    check_image_shape,
    check_shape,
    elements_from_bytes,
    resolve_dynamic_shape,
    rows_from_bytes,
    rows_from_numbers,
)
from .inference_pb2 import InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse

# Which field of InferTensorContents holds a datatype's elements, and NumPy's type for that field's.
_FIELDS = {"UINT8": ("uint_contents", np.uint32), "FP32": ("fp32_contents", np.float32)}
_PICTURES = "bytes_contents"


def read_request(message: ModelInferRequest, manifest: Manifest, max_images: int) -> InferRequest:
    """The request in a message.

    Raises:
        InvalidInput: it cannot be understood, or does not fit the model.
        PayloadTooLarge: it holds more than `max_images` rows.
    """
    timeout = check_parameters(_values(message.parameters))
    check_inputs([tensor.name for tensor in message.inputs], manifest)
    tensor = message.inputs[0]
    if "shared_memory_region" in tensor.parameters:
        raise InvalidInput("shared memory is not offered; the tensors come in the request")
    if raws := message.raw_input_contents:
        if len(raws) != 1 or tensor.HasField("contents"):
            raise InvalidInput(
                f"the request has {len(raws)} raw_input_contents for 1 input"
                + (", which has contents too" if tensor.HasField("contents") else "")
            )
        content = _from_raw(tensor, raws[0], manifest.input, max_images)
    else:
        content = _from_typed(tensor, manifest.input, max_images)
    outputs = check_outputs([_requested(output) for output in message.outputs], manifest)
    return InferRequest(message.id or new_id(), content, outputs, timeout)


def _from_raw(
    tensor: ModelInferRequest.InferInputTensor, raw: bytes, spec: InputSpec, most: int
) -> Rows | list[EncodedImage]:
    if tensor.datatype == "BYTES":
        count = check_image_shape(tensor.shape, spec, most)
        return [EncodedImage(element) for element in elements_from_bytes(raw, count, tensor.name)]
    check_datatype(tensor.datatype, spec)
    spec = resolve_dynamic_shape(tensor.shape, spec)
    return rows_from_bytes(raw, check_shape(tensor.shape, spec, most), spec)


def _from_typed(
    tensor: ModelInferRequest.InferInputTensor, spec: InputSpec, most: int
) -> Rows | list[EncodedImage]:
    if tensor.datatype == "BYTES":
        count = check_image_shape(tensor.shape, spec, most)
        elements = _elements(tensor.contents, _PICTURES, tensor.name)
        if len(elements) != count:
            raise InvalidInput(f"input {tensor.name!r} has {len(elements)} {_PICTURES}; expected {count}")
        return [EncodedImage(element) for element in elements]
    check_datatype(tensor.datatype, spec)
    spec = resolve_dynamic_shape(tensor.shape, spec)
    count = check_shape(tensor.shape, spec, most)
    field, dtype = _FIELDS[tensor.datatype]
    elements = _elements(tensor.contents, field, tensor.name)
    return rows_from_numbers(np.fromiter(elements, dtype, len(elements)), count, spec)


def _elements(contents: InferTensorContents, field: str, name: str) -> Sequence[Any]:
    filled = [each.name for each, _ in contents.ListFields()]
    if filled != [field]:
        raise InvalidInput(
            f"input {name!r} needs its elements in raw_input_contents or in contents.{field}; "
            f"it has {', '.join(filled) or 'neither'}"
        )
    elements: Sequence[Any] = getattr(contents, field)
    return elements


def _requested(output: ModelInferRequest.InferRequestedOutputTensor) -> RequestedOutput:
    parameters = _values(output.parameters)
    if "shared_memory_region" in parameters:
        raise InvalidInput("shared memory is not offered; the answer comes in the response")
    classification = classes_wanted(parameters["classification"]) if "classification" in parameters else 0
    return RequestedOutput(output.name, binary=True, classification=classification)


def _values(parameters: Mapping[str, InferParameter]) -> dict[str, Any]:
    """Each parameter's value, whichever type it was sent as; None for one that holds nothing."""
    chosen = ((name, each, each.WhichOneof("parameter_choice")) for name, each in parameters.items())
    return {name: None if choice is None else getattr(each, choice) for name, each, choice in chosen}


def write_answer(
    request: InferRequest, model: LoadedModel, outputs: Sequence[OutputTensor]
) -> ModelInferResponse:
    """The answer with raw contents always: tritonclient reads no numbers from typed ones."""
    return ModelInferResponse(
        model_name=model.name,
        model_version=model.version,
        id=request.id,
        outputs=[
            ModelInferResponse.InferOutputTensor(
                name=output.name, datatype=output.datatype, shape=output.shape
            )
            for output in outputs
        ],
        raw_output_contents=[output.as_bytes() for output in outputs],
    )
