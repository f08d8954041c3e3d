"""Parsers of the labels in a response, one for each protocol.

Each takes the number of images in the request and raises ValueError if the response is invalid. If the
protocol has no labels, the index of the class replaces the label.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from typing import Any


def native(count: int, body: bytes) -> Sequence[str]:
    """Parse a response of `POST /classify`."""
    try:
        labels = [str(each["label"]) for each in json.loads(body)["predictions"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"no predictions: {error!r}") from error
    return _checked_count(labels, count)


def open_inference(count: int, body: bytes) -> Sequence[str]:
    """Parse a response of `POST /v2/models/…/infer`: one FP32 output, in JSON or binary."""
    # Every byte is valid Latin-1: the JSON can be decoded without knowing where the binary part begins.
    document, end = json.JSONDecoder().raw_decode(body.decode("latin-1"))
    try:
        (output,) = document["outputs"]
        if "data" in output:
            scores = [float(score) for score in output["data"]]
        else:
            size = output["parameters"]["binary_data_size"]
            if len(body) - end != size:
                raise ValueError(f"{len(body) - end} bytes follow the JSON, which declares {size}")
            scores = list(struct.unpack(f"<{size // 4}f", body[end:]))
    except (KeyError, TypeError, struct.error) as error:
        raise ValueError(f"no output: {error!r}") from error
    return best_classes(scores, count)


def open_inference_grpc(count: int, body: bytes) -> Sequence[str]:
    """Parse a response of ModelInfer: one FP32 output as raw bytes."""
    from google.protobuf.message import DecodeError

    from ...protocols.grpc.inference_pb2 import ModelInferResponse

    try:
        (raw,) = ModelInferResponse.FromString(body).raw_output_contents
        return best_classes(struct.unpack(f"<{len(raw) // 4}f", raw), count)
    except (DecodeError, struct.error) as error:
        raise ValueError(f"no output: {error}") from error


def tensorflow_serving(count: int, body: bytes) -> Sequence[str]:
    """Parse a response of `:predict`."""
    try:
        rows: list[Any] = json.loads(body)["predictions"]
        return best_classes([float(score) for row in rows for score in row], count)
    except (KeyError, TypeError) as error:
        raise ValueError(f"no predictions: {error!r}") from error


def best_classes(scores: Sequence[float], count: int) -> Sequence[str]:
    """The index of the highest score in each of `count` rows of equal length."""
    if not scores or len(scores) % count:
        raise ValueError(f"{len(scores)} scores for {count} images")
    if not all(map(math.isfinite, scores)):
        raise ValueError("a score is not finite")
    classes = len(scores) // count
    rows = [scores[start : start + classes] for start in range(0, len(scores), classes)]
    return tuple(str(max(range(classes), key=row.__getitem__)) for row in rows)


def _checked_count(labels: Sequence[str], count: int) -> Sequence[str]:
    if len(labels) != count:
        raise ValueError(f"{len(labels)} labels for {count} images")
    return tuple(labels)
