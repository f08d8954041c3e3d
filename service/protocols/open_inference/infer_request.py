"""Inference requests of the Open Inference Protocol, independent of the transport.

REST and gRPC parse their messages to `InferRequest` and write `OutputTensor`s; the rest is here, so that
both behave the same.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ...batching.pending_request import Scores
from ...client_budget import Account
from ...errors import InvalidInput, shown
from ...inference.classifier import Classifier, Inference, check_classifies
from ...inference.footprint import JSON_NUMBER_BYTES
from ...inference.model import LoadedModel
from ...inference.text_executor import TextExecutor
from ...repository.manifest import Manifest
from ..shared.tensors import TensorPayload, decode_tensor, elements_to_bytes

# The classification extension sorts at most this many scores for one response: each becomes a string.
MAX_CLASSIFICATION_ELEMENTS = 1 << 18


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """`classification` is the number of classes to return in place of the scores; 0 returns the scores."""

    name: str
    binary: bool = False
    classification: int = 0


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A parsed request whose tensor is not decoded yet; `timeout` is in seconds."""

    id: str
    tensor: TensorPayload
    outputs: Sequence[RequestedOutput]
    timeout: float | None


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """A tensor of the response: FP32 `scores`, or BYTES `elements` of a classification in row-major order."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    binary: bool
    scores: Scores | None = None
    elements: Sequence[bytes] = ()

    def as_bytes(self) -> memoryview:
        """The raw form: little-endian scores, not copied, or elements that each follow their length."""
        if self.scores is not None:
            return np.ascontiguousarray(self.scores, "<f4").data.cast("B")
        return memoryview(elements_to_bytes(self.elements))


async def infer(
    classifier: Classifier,
    model: LoadedModel,
    request: InferRequest,
    *,
    max_images: int,
    deadline: float,
    account: Account,
    texts: TextExecutor,
    binary_bytes_per_score: int = 0,
    max_binary_bytes: int | None = None,
) -> tuple[list[OutputTensor], Inference]:
    """Decode the request's tensor and run the model; returns the requested outputs in order.

    Args:
        texts: writes large classifications.
        deadline: in the event loop's time.
        account: charged with the memory of the request.
        binary_bytes_per_score: memory of a binary response in addition to the scores.
        max_binary_bytes: the bytes of scores that a binary response may have.

    Raises:
        InvalidInput, PayloadTooLarge: the tensor does not fit the model, as `decode_tensor` raises them.
        NotAClassifier: classes are requested of a model that returns feature maps.
    """
    if any(output.classification for output in request.outputs):
        check_classifies(model)
    content = decode_tensor(request.tensor, model.manifest.input, max_images)
    if max_binary_bytes is not None:
        model.footprint.check_scores(content, max_binary_bytes)
    inference = await classifier.infer(
        model,
        content,
        deadline=deadline,
        account=account,
        response_bytes_per_score=binary_bytes_per_score
        if all(output.binary for output in request.outputs)
        else JSON_NUMBER_BYTES,
    )
    write = partial(_outputs, request.outputs, inference.scores, model.manifest)
    if any(output.classification for output in request.outputs):
        size = inference.scores.nbytes
        return await texts.run(write, size=size, account=account, deadline=deadline), inference
    return write(), inference


def check_inputs(names: Sequence[str], manifest: Manifest) -> None:
    """
    Raises:
        InvalidInput: these are not exactly the model's one input.
    """
    if names != [manifest.input.name]:
        raise InvalidInput(
            f"{manifest.name} takes one input, {manifest.input.name!r}; the request has {shown(names)}"
        )


def check_outputs(outputs: Sequence[RequestedOutput], manifest: Manifest) -> Sequence[RequestedOutput]:
    """`outputs`, or the model's one output if the request names none.

    Raises:
        InvalidInput: the model does not have an output, or one is named twice.
    """
    if not outputs:
        return [RequestedOutput(manifest.output.name)]
    for output in outputs:
        if output.name != manifest.output.name:
            raise InvalidInput(
                f"{manifest.name} has no output {shown(output.name)}; it has {manifest.output.name!r}"
            )
    if len(outputs) > 1:
        raise InvalidInput(f"the output {outputs[0].name!r} is requested more than once")
    return outputs


def check_parameters(parameters: Mapping[str, Any] | None) -> float | None:
    """The request's `timeout` in seconds; None if it has none.

    Unknown parameters are ignored, as the protocol requires, and so are those of sequences, which do not
    apply to stateless models.

    Raises:
        InvalidInput: a parameter is not a string, number or boolean, is reserved, or has an invalid value.
    """
    for name, value in (parameters or {}).items():
        if name.startswith("triton_"):
            raise InvalidInput(f"the parameter {shown(name)} is reserved")
        if not isinstance(value, str | int | float | bool):
            raise InvalidInput(f"the parameter {shown(name)} must be a string, a number or a boolean")
    timeout = (parameters or {}).get("timeout", 0)
    if isinstance(timeout, bool) or not isinstance(timeout, int) or not 0 <= timeout < 2**64:
        raise InvalidInput(
            f"the parameter 'timeout' must be an integer of microseconds, not {shown(timeout)}"
        )
    priority = (parameters or {}).get("priority", 0)
    if isinstance(priority, bool) or not isinstance(priority, int) or not 0 <= priority < 2**64:
        raise InvalidInput(
            f"the parameter 'priority' must be an integer of at least 0, not {shown(priority)}"
        )
    return timeout / 1e6 or None


def check_classification(value: Any) -> int:
    """Check an output's `classification` parameter.

    Raises:
        InvalidInput: it is not an integer of at least 1.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**63:
        raise InvalidInput(
            f"the parameter 'classification' must be an integer of at least 1, not {shown(value)}"
        )
    return value


def new_id() -> str:
    """An identifier for a request without one: KServe's client requires one in every response."""
    return uuid.uuid4().hex


def _outputs(requested: Sequence[RequestedOutput], scores: Scores, manifest: Manifest) -> list[OutputTensor]:
    return [_output(output, scores, manifest) for output in requested]


def _output(output: RequestedOutput, scores: Scores, manifest: Manifest) -> OutputTensor:
    if not output.classification:
        return OutputTensor(output.name, "FP32", scores.shape, output.binary, scores)
    if scores.size > MAX_CLASSIFICATION_ELEMENTS:
        raise InvalidInput(
            f"classification supports at most {MAX_CLASSIFICATION_ELEMENTS:,} scores; "
            f"the request has {scores.size:,}: send fewer images, or request the scores as binary data"
        )
    elements = [
        element for row in scores for element in _classes(row, manifest.labels, output.classification)
    ]
    shape = (len(scores), len(elements) // len(scores))
    return OutputTensor(output.name, "BYTES", shape, output.binary, elements=elements)


def _classes(row: Scores, labels: Sequence[str], count: int) -> list[bytes]:
    """`value:index:label` of the `count` highest scores, highest first; of equal scores, the lowest index."""
    best = (-row).argsort(kind="stable")[:count]
    return [f"{row[index]:.6f}:{index}:{labels[index]}".encode() for index in best.tolist()]
