"""Asks a real server for the scores of one image in every dialect."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.protocols.grpc import inference_pb2 as messages
from tests.support.http.client import get, post
from tests.support.server.server_process import ServerProcess

JSON = "application/json"
_DATATYPES = {"uint8": "UINT8", "float32": "FP32"}


@dataclass(frozen=True)
class Answers:
    """The answers of all dialects for one image.

    Attributes:
        scores: the score of each class in the order of the labels, by dialect.
        ranked: labels and scores, best first, by dialect.
    """

    scores: dict[str, list[float]]
    ranked: dict[str, list[tuple[str, float]]]


def encode(pixels: NDArray[np.uint8]) -> bytes:
    """Encode an image, [height, width, channels], as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue()


def ask_all(server: ServerProcess, model: str, pixels: NDArray[np.uint8], row: NDArray[Any]) -> Answers:
    """Ask for the scores of an image.

    Args:
        server: a server with a gRPC port.
        model: the name of the model.
        pixels: the image, [height, width, channels].
        row: the same image as the input of the model, without the batch axis.
    """
    picture = encode(pixels)
    classes = get(f"{server.url}/models/{model}").json["versions"][-1]
    native = post(f"{server.url}/models/{model}/classify?top_k=1000", picture).json["predictions"][0]["top_k"]
    serving = f"{server.url}/v1/models/{model}"
    encoded = {"b64": base64.b64encode(picture).decode()}
    predicted = _post(f"{serving}:predict", {"instances": [row.tolist()]})["predictions"][0]
    classified = _post(f"{serving}:classify", {"examples": [{classes["input"]["name"]: encoded}]})["results"][
        0
    ]
    oip = f"{server.url}/v2/models/{model}/infer"
    tensor = {
        "name": classes["input"]["name"],
        "datatype": _DATATYPES[classes["input"]["dtype"]],
        "shape": [1, *row.shape],
        "data": row.ravel().tolist(),
    }
    tensors = _post(oip, {"inputs": [tensor]})["outputs"][0]["data"]
    count = {"name": classes["output"]["name"], "parameters": {"classification": 1000}}
    texts = _post(oip, {"inputs": [tensor], "outputs": [count]})["outputs"][0]["data"]
    torchserve = post(f"{server.url}/predictions/{model}", picture).json
    return Answers(
        scores={
            "native": [each["probability"] for each in sorted(native, key=lambda each: each["index"])],
            "TensorFlow Serving": predicted,
            "Open Inference Protocol": tensors,
            "gRPC": _grpc(server, model, tensor, row),
        },
        ranked={
            "native": [(each["label"], each["probability"]) for each in native],
            "TensorFlow Serving": [(label, score) for label, score in classified],
            "Open Inference Protocol": [(text.split(":", 2)[2], float(text.split(":")[0])) for text in texts],
            "TorchServe": list(torchserve.items()),
        },
    )


def _post(url: str, body: dict[str, Any]) -> Any:
    response = post(url, json.dumps(body).encode(), JSON)
    assert response.status == 200, response.body
    return response.json


def _grpc(server: ServerProcess, model: str, tensor: dict[str, Any], row: NDArray[Any]) -> list[float]:
    request = messages.ModelInferRequest(
        model_name=model,
        inputs=[
            messages.ModelInferRequest.InferInputTensor(
                name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"]
            )
        ],
        raw_input_contents=[row.tobytes()],
    )
    with grpc.insecure_channel(server.grpc_address) as channel:
        infer = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=messages.ModelInferRequest.SerializeToString,
            response_deserializer=messages.ModelInferResponse.FromString,
        )
        response = infer(request)
    scores: list[float] = np.frombuffer(response.raw_output_contents[0], np.float32).tolist()
    return scores
