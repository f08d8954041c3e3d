"""The labels in an answer, by dialect. Where an answer names no labels, the class's number stands for one.

Each raises ValueError where the answer is not valid, for whichever reason.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from typing import Any


def native(count: int, body: bytes) -> Sequence[str]:
    """Of `POST /classify`."""
    try:
        labels = [str(each["label"]) for each in json.loads(body)["predictions"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"no predictions: {error!r}") from error
    return _counted(labels, count)


def open_inference(count: int, body: bytes) -> Sequence[str]:
    """Of `POST /v2/models/…/infer`: one FP32 output, in JSON or behind it."""
    # The binary part reads as Latin-1, so that the JSON before it can be read without knowing its length.
    document, end = json.JSONDecoder().raw_decode(body.decode("latin-1"))
    try:
        (output,) = document["outputs"]
        if "data" in output:
            scores = [float(score) for score in output["data"]]
        else:
            size = output["parameters"]["binary_data_size"]
            if len(body) - end != size:
                raise ValueError(f"{len(body) - end} bytes follow the JSON, which promises {size}")
            scores = list(struct.unpack(f"<{size // 4}f", body[end:]))
    except (KeyError, TypeError, struct.error) as error:
        raise ValueError(f"no output: {error!r}") from error
    return best(scores, count)


def open_inference_grpc(count: int, body: bytes) -> Sequence[str]:
    """Of ModelInfer: one FP32 output as raw bytes."""
    from google.protobuf.message import DecodeError

    from ...protocols.grpc.inference_pb2 import ModelInferResponse

    try:
        (raw,) = ModelInferResponse.FromString(body).raw_output_contents
        return best(struct.unpack(f"<{len(raw) // 4}f", raw), count)
    except (DecodeError, struct.error) as error:
        raise ValueError(f"no output: {error}") from error


def tensorflow_serving(count: int, body: bytes) -> Sequence[str]:
    """Of `:predict`."""
    try:
        rows: list[Any] = json.loads(body)["predictions"]
        return best([float(score) for row in rows for score in row], count)
    except (KeyError, TypeError) as error:
        raise ValueError(f"no predictions: {error!r}") from error


def best(scores: Sequence[float], count: int) -> Sequence[str]:
    """The number of the highest score of each of `count` rows of equal length."""
    if not scores or len(scores) % count:
        raise ValueError(f"{len(scores)} scores for {count} pictures")
    if not all(map(math.isfinite, scores)):
        raise ValueError("a score is not finite")
    classes = len(scores) // count
    rows = [scores[start : start + classes] for start in range(0, len(scores), classes)]
    return tuple(str(max(range(classes), key=row.__getitem__)) for row in rows)


def _counted(labels: Sequence[str], count: int) -> Sequence[str]:
    if len(labels) != count:
        raise ValueError(f"{len(labels)} labels for {count} pictures")
    return tuple(labels)
