"""Every client gets bit-identical scores for the example image of every published classifier."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.support.clients.asynchronous import Asynchronous
from tests.support.clients.pixel_images import Pixels
from tests.support.clients.triton_grpc import asynchronous, blocking
from tests.support.http.native_response import probabilities, ranked
from tests.support.models.shipped import highest_version
from tests.support.server.server_process import FREE_GRPC_PORT, ServerProcess

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its dependencies warn on import
    import kserve  # type: ignore[import-untyped]
    import tritonclient.http as triton  # type: ignore[import-untyped]
    import tritonclient.http.aio as triton_aio  # type: ignore[import-untyped]

Way = Callable[[ServerProcess, str, Pixels, bytes], Any]


def triton_input(module: Any, array: NDArray[Any], datatype: str) -> Any:
    given = module.InferInput("pixels", list(array.shape), datatype)
    given.set_data_from_numpy(array)
    return given


def both_forms(module: Any, pixels: Pixels, file: bytes) -> list[Any]:
    """The image as a tensor and as a file."""
    return [
        triton_input(module, pixels, "UINT8"),
        triton_input(module, np.array([file], np.object_), "BYTES"),
    ]


def by_triton(client: Any, module: Any, model: str, pixels: Pixels, file: bytes) -> list[Any]:
    """`module` defines the client's input class."""
    with client:
        responses = [client.infer(model, [given]) for given in both_forms(module, pixels, file)]
    return [response.as_numpy("probabilities")[0] for response in responses]


def kserve_request(model: str, pixels: Pixels) -> Any:
    given = kserve.InferInput("pixels", list(pixels.shape), "UINT8")
    given.set_data_from_numpy(pixels, binary_data=True)
    return kserve.InferRequest(model, [given])


def kserve_rest(server: ServerProcess, model: str, pixels: Pixels, file: bytes) -> list[Any]:
    async def ask(protocol: str, request: Any) -> Any:
        async with kserve.InferenceRESTClient(kserve.RESTConfig(protocol=protocol)) as client:
            return await client.infer(server.url, request, model_name=model)

    v1 = asyncio.run(ask("v1", {"instances": pixels.tolist()}))
    v2 = asyncio.run(ask("v2", kserve_request(model, pixels)))
    return [v1["predictions"][0], v2.outputs[0].as_numpy()[0]]


def kserve_grpc(server: ServerProcess, model: str, pixels: Pixels, file: bytes) -> list[Any]:
    async def ask() -> Any:
        async with kserve.InferenceGRPCClient(server.grpc_address) as client:
            return await client.infer(kserve_request(model, pixels))

    return [asyncio.run(ask()).outputs[0].as_numpy()[0]]


def tensorflow_serving(server: ServerProcess, model: str, pixels: Pixels, file: bytes) -> list[Any]:
    b64 = {"b64": base64.b64encode(file).decode()}
    bodies = [{"instances": pixels.tolist()}, {"instances": [b64]}, {"inputs": {"pixels": pixels.tolist()}}]
    url = f"{server.url}/v1/models/{model}:predict"
    responses = [httpx2.post(url, content=json.dumps(body)).json() for body in bodies]
    return [response.get("predictions", response.get("outputs"))[0] for response in responses]


def rest_address(server: ServerProcess) -> str:
    return server.url.removeprefix("http://")


WAYS: dict[str, Way] = {
    "tritonclient.http": lambda server, *arguments: by_triton(
        triton.InferenceServerClient(rest_address(server)), triton, *arguments
    ),
    "tritonclient.http.aio": lambda server, *arguments: by_triton(
        Asynchronous(triton_aio, rest_address(server)), triton, *arguments
    ),
    "tritonclient.grpc": lambda server, *arguments: by_triton(
        blocking.InferenceServerClient(server.grpc_address), blocking, *arguments
    ),
    "tritonclient.grpc.aio": lambda server, *arguments: by_triton(
        Asynchronous(asynchronous, server.grpc_address), blocking, *arguments
    ),
    "kserve REST": kserve_rest,
    "kserve gRPC": kserve_grpc,
    "TensorFlow Serving": tensorflow_serving,
}


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess(None, *FREE_GRPC_PORT) as server:
        yield server
        assert server.stderr.text == ""


@pytest.fixture(params=["convnet", "lenet5", "signnet"])
def model(request: pytest.FixtureRequest) -> Path:
    """The folder of the highest version, which serves requests without a version."""
    return highest_version(request.param)


@pytest.fixture
def file(model: Path) -> bytes:
    return (model / "example.png").read_bytes()


@pytest.fixture
def pixels(file: bytes) -> Pixels:
    """A batch of one image, of the size of the model's input."""
    image = np.array(Image.open(io.BytesIO(file)))
    return image.reshape(1, *image.shape[:2], -1)


@pytest.mark.parametrize("way", WAYS)
def test_every_client_gets_the_same_bits(
    server: ServerProcess, model: Path, pixels: Pixels, file: bytes, way: str
) -> None:
    name = model.parent.name
    expected = probabilities(server.url, name, file)
    for scores in WAYS[way](server, name, pixels, file):
        np.testing.assert_array_equal(np.array(scores, np.float32), expected)


def test_labels_agree_across_dialects(server: ServerProcess, model: Path, file: bytes) -> None:
    name = model.parent.name
    best = ranked(server.url, name, file)
    assert best[0]["label"] == json.loads((model / "manifest.json").read_text())["example"]["label"]
    torchserve = httpx2.put(f"{server.url}/predictions/{name}", content=file).json()
    assert torchserve == {each["label"]: each["probability"] for each in best[:5]}
    example = {"image": {"b64": base64.b64encode(file).decode()}}
    classified = httpx2.post(f"{server.url}/v1/models/{name}:classify", json={"examples": [example]}).json()
    assert classified == {"results": [[[each["label"], each["probability"]] for each in best]]}
