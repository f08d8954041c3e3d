"""Builds the requests of each protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Protocol
from urllib.parse import quote

from ..clients.request_bytes import form, post
from ..target import Target
from ..types import Address, Requests
from . import response_parsers

IMAGE = {"Content-Type": "application/octet-stream"}
HEADER_LENGTH = "Inference-Header-Content-Length"
GRPC_METHOD = "/inference.GRPCInferenceService/ModelInfer"


@dataclass(frozen=True, slots=True)
class Batch:
    """The images of one request.

    Attributes:
        files: encoded images.
        rows: the decoded images as the model's input, concatenated; empty for the native protocol.
    """

    files: Sequence[bytes]
    rows: bytes = b""


class RequestBuilder(Protocol):
    def __call__(self, target: Target, batch: Batch) -> bytes: ...


def requests(name: str, target: Target, batches: Sequence[Batch]) -> Requests:
    """One request for each batch.

    Args:
        name: a key of BUILDERS.
        batches: at least one; all contain the same number of images.
    """
    count = len(batches[0].files)
    address: Address = target.address
    method = None
    if name == "grpc":
        address, method = target.grpc_address, GRPC_METHOD
    data = tuple(BUILDERS[name](target, batch) for batch in batches)
    return Requests(address, data, partial(_PARSERS[name], count), count, method, target.key)


def native(target: Target, batch: Batch) -> bytes:
    """One image as the body, or several as a multipart form."""
    path = f"{target.path}/models/{quote(target.model)}/classify?top_k=1"
    if len(batch.files) == 1:
        return post(target.address, path, batch.files[0], IMAGE | target.headers)
    body, content_type = form("images", batch.files)
    return post(target.address, path, body, {"Content-Type": content_type} | target.headers)


def open_inference(target: Target, batch: Batch) -> bytes:
    """A binary tensor after the JSON header; the response has the same form."""
    tensor = target.tensor
    metadata = {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": [len(batch.files), *tensor.shape],
        "parameters": {"binary_data_size": len(batch.rows)},
    }
    # With a fixed id equal responses are equal bytes.
    document = {"id": "bench", "inputs": [metadata], "parameters": {"binary_data_output": True}}
    head = json.dumps(document).encode()
    path = f"{target.path}/v2/models/{quote(target.model)}/infer"
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(head))} | target.headers
    return post(target.address, path, head + batch.rows, headers)


def open_inference_grpc(target: Target, batch: Batch) -> bytes:
    from ...protocols.grpc.inference_pb2 import ModelInferRequest

    tensor = target.tensor
    request = ModelInferRequest(model_name=target.model, id="bench", raw_input_contents=[batch.rows])
    request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=[len(batch.files), *tensor.shape])
    return request.SerializeToString()


def tensorflow_serving(target: Target, batch: Batch) -> bytes:
    import numpy as np

    tensor = target.tensor
    rows = np.frombuffer(batch.rows, tensor.dtype).reshape(len(batch.files), *tensor.shape)
    body = json.dumps({"instances": rows.tolist()}).encode()
    path = f"{target.path}/v1/models/{quote(target.model)}:predict"
    return post(target.address, path, body, {"Content-Type": "application/json"} | target.headers)


BUILDERS: Mapping[str, RequestBuilder] = MappingProxyType(
    {
        "native": native,
        "open-inference": open_inference,
        "tensorflow-serving": tensorflow_serving,
        "grpc": open_inference_grpc,
    }
)
TENSOR_PROTOCOLS = frozenset(BUILDERS) - {"native"}
_PARSERS: Mapping[str, Callable[[int, bytes], Sequence[str]]] = MappingProxyType(
    {
        "native": response_parsers.native,
        "open-inference": response_parsers.open_inference,
        "tensorflow-serving": response_parsers.tensorflow_serving,
        "grpc": response_parsers.open_inference_grpc,
    }
)
