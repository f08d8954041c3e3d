"""Parses ModelInferRequest messages and writes ModelInferResponse messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import InvalidInput
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
from .inference_pb2 import InferParameter, ModelInferRequest, ModelInferResponse

# The field of InferTensorContents for a datatype's elements; a model's input has one of these datatypes.
_CONTENTS = {"BYTES": "bytes_contents", "UINT8": "uint_contents", "FP32": "fp32_contents"}
_NUMBER_TYPES: dict[str, type[np.generic]] = {"UINT8": np.uint32, "FP32": np.float32}


def read_request(message: ModelInferRequest, manifest: Manifest) -> InferRequest:
    """Parse a message without copying or decoding its tensor.

    Raises:
        InvalidInput: the inputs, outputs or parameters do not fit the model or the protocol.
    """
    timeout = check_parameters(_values(message.parameters))
    check_inputs([tensor.name for tensor in message.inputs], manifest)
    tensor = _tensor(message.inputs[0], message.raw_input_contents)
    outputs = check_outputs([_requested(output) for output in message.outputs], manifest)
    return InferRequest(message.id or new_id(), tensor, outputs, timeout)


def _tensor(tensor: ModelInferRequest.InferInputTensor, raws: Sequence[bytes]) -> TensorPayload:
    if "shared_memory_region" in tensor.parameters:
        raise InvalidInput("shared memory is not supported; send the tensors in the request")
    if not raws:
        return TensorPayload(tensor.name, tensor.datatype, tensor.shape, _contents(tensor))
    if len(raws) != 1 or tensor.HasField("contents"):
        raise InvalidInput(
            f"the request has {len(raws)} raw_input_contents for 1 input"
            + (", which also has contents" if tensor.HasField("contents") else "")
        )
    return TensorPayload(tensor.name, tensor.datatype, tensor.shape, RawBytes(raws[0]))


def _contents(tensor: ModelInferRequest.InferInputTensor) -> Numbers | Elements:
    field = _CONTENTS.get(tensor.datatype)
    if field is None:  # no model has such an input, so decoding rejects the datatype
        return Elements(())
    filled = [each.name for each, _ in tensor.contents.ListFields()]
    if filled != [field]:
        raise InvalidInput(
            f"input {tensor.name!r} needs its elements in raw_input_contents or in contents.{field}; "
            f"it has {', '.join(filled) or 'neither'}"
        )
    elements: Sequence[Any] = getattr(tensor.contents, field)
    number_type = _NUMBER_TYPES.get(tensor.datatype)
    return Elements(elements) if number_type is None else Numbers(elements, number_type)


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


def write_response(
    request: InferRequest, model: LoadedModel, outputs: Sequence[OutputTensor]
) -> ModelInferResponse:
    """The response, always with raw contents: tritonclient does not read typed ones."""
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
        raw_output_contents=[bytes(output.as_bytes()) for output in outputs],
    )
