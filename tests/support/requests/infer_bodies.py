"""Builds and parses inference requests of one row for `shades`."""

from __future__ import annotations

import json
from typing import Any

from service.batching.pending_request import Rows
from service.config.limits import JsonLimits
from service.imaging.decode_pool import EncodedImage
from service.protocols.open_inference.infer_request import InferRequest
from service.protocols.open_inference.rest_codec import read_request
from service.protocols.shared.tensors import decode_tensor
from service.repository.manifest import Manifest
from tests.support.models.gray_classifier import SIDE

MAX_ROWS = 256
JSON_LIMITS = JsonLimits(max_values=1_000_000, max_depth=100, max_members=1_000_000)
PIXELS = SIDE * SIDE


def document(**changes: Any) -> dict[str, Any]:
    """A request of one row, with changes to its only input."""
    tensor = {"name": "pixels", "shape": [1, SIDE, SIDE, 1], "datatype": "UINT8", "data": [7] * PIXELS}
    return {"inputs": [{key: value for key, value in {**tensor, **changes}.items() if value is not None}]}


def binary(size: int = PIXELS, **changes: Any) -> dict[str, Any]:
    return document(data=None, parameters={"binary_data_size": size}, **changes)


def read(manifest: Manifest, request: Any, *, header: str | None = None, tail: bytes = b"") -> InferRequest:
    """Parses `request` as JSON followed by `tail`, with the header length if there is a tail."""
    text = request if isinstance(request, bytes) else json.dumps(request).encode()
    if header is None and tail:
        header = str(len(text))
    return read_request(text + tail, header, manifest, JSON_LIMITS)


def read_content(
    manifest: Manifest, request: Any, *, header: str | None = None, tail: bytes = b""
) -> Rows | list[EncodedImage]:
    """The decoded content of a request, parsed like `read`."""
    return decode(manifest, read(manifest, request, header=header, tail=tail))


def decode(manifest: Manifest, request: InferRequest) -> Rows | list[EncodedImage]:
    """The request's tensor as rows or encoded images."""
    return decode_tensor(request.tensor, manifest.input, MAX_ROWS)
