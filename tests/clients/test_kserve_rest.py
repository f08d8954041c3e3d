"""KServe's REST client, with both of its protocols."""

from __future__ import annotations

import asyncio
import base64
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from tests.support.clients.pixel_images import Pixels, png
from tests.support.http.native_response import probabilities
from tests.support.models.gray_classifier import LABELS, image, level, rows
from tests.support.server.server_process import ServerProcess

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its dependencies warn on import
    import httpx
    import kserve  # type: ignore[import-untyped]

PROTOCOLS = ["v1", "v2"]


class Client:
    """The asynchronous client; each call runs in its own event loop."""

    def __init__(self, server: ServerProcess, protocol: str) -> None:
        self.url = server.url
        self._protocol = protocol

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def call(*args: Any, **options: Any) -> Any:
            async with kserve.InferenceRESTClient(kserve.RESTConfig(protocol=self._protocol)) as client:
                return await getattr(client, name)(self.url, *args, **options)

        return lambda *args, **options: asyncio.run(call(*args, **options))


@pytest.fixture(params=PROTOCOLS)
def client(request: pytest.FixtureRequest, server: ServerProcess) -> Client:
    return Client(server, request.param)


@pytest.fixture
def v1(server: ServerProcess) -> Client:
    return Client(server, "v1")


@pytest.fixture
def v2(server: ServerProcess) -> Client:
    return Client(server, "v2")


def tensor(values: Any, datatype: str = "UINT8", *, binary: bool) -> Any:
    given = kserve.InferInput("pixels", list(values.shape), datatype)
    given.set_data_from_numpy(values, binary_data=binary)
    return given


def request(model: str, *inputs: Any, **more: Any) -> Any:
    return kserve.InferRequest(model, list(inputs), **more)


def b64(file: bytes) -> str:
    return base64.b64encode(file).decode()


def test_liveness_and_readiness(client: Client) -> None:
    assert client.is_server_live()
    assert client.is_model_ready("shades")


def test_server_is_ready(v2: Client) -> None:
    assert v2.is_server_ready()  # v1 has no such call


def test_unknown_model(v1: Client, v2: Client) -> None:
    assert not v2.is_model_ready("none")
    with pytest.raises(httpx.HTTPStatusError, match="no model 'none' is served; available: linear, shades"):
        v1.is_model_ready("none")


@pytest.mark.parametrize("binary", [True, False])
def test_v2_infers_from_tensors(v2: Client, binary: bool) -> None:
    given = tensor(rows(level(2), level(6)), binary=binary)
    expected = np.stack([probabilities(v2.url, "shades", image(level(index))) for index in (2, 6)])
    response = v2.infer(request("shades", given, request_id="seven"), model_name="shades")
    assert (response.id, response.model_name) == ("seven", "shades")  # the client drops the version
    np.testing.assert_array_equal(response.outputs[0].as_numpy(), expected)


@pytest.mark.parametrize("wanted", [True, False])
def test_v2_requests_binary_outputs(v2: Client, wanted: bool) -> None:
    given = tensor(rows(level(5)), binary=True)
    outputs = [kserve.protocol.infer_type.RequestedOutput("probabilities", {"binary_data": wanted})]
    for more in ({"parameters": {"binary_data_output": wanted}}, {"request_outputs": outputs}):
        response = v2.infer(request("shades", given, **more), model_name="shades")
        assert response.outputs[0].as_numpy().argmax() == 5


def test_v2_infers_from_files(v2: Client) -> None:
    images = [image(level(index), side=30) for index in range(10)]
    given = kserve.InferInput("pixels", [10], "BYTES", data=[b64(file) for file in images])
    behind = tensor(np.array(images, np.object_), "BYTES", binary=True)
    expected = np.stack([probabilities(v2.url, "shades", file) for file in images])
    for each in (given, behind):
        response = v2.infer(request("shades", each), model_name="shades")
        np.testing.assert_array_equal(response.outputs[0].as_numpy(), expected)


def test_v1_predicts_from_rows_and_files(v1: Client) -> None:
    expected = [probabilities(v1.url, "shades", image(level(index))) for index in (2, 6)]
    by_row = v1.infer({"instances": rows(level(2), level(6)).tolist()}, model_name="shades")
    by_file = v1.infer(
        {"instances": [{"b64": b64(image(level(index)))} for index in (2, 6)]}, model_name="shades"
    )
    np.testing.assert_array_equal(np.array(by_row["predictions"], np.float32), np.stack(expected))
    assert by_file == by_row


def digits_agree(server: ServerProcess, digits: Sequence[Pixels]) -> None:
    expected = np.stack([probabilities(server.url, "convnet", png(digit)) for digit in digits])
    pixels = np.stack(digits)[..., np.newaxis]
    v1 = Client(server, "v1").infer({"instances": pixels.tolist()}, model_name="convnet")
    np.testing.assert_array_equal(np.array(v1["predictions"], np.float32), expected)
    v2 = Client(server, "v2").infer(request("convnet", tensor(pixels, binary=True)), model_name="convnet")
    np.testing.assert_array_equal(v2.outputs[0].as_numpy(), expected)


def test_drawn_digits_bit_for_bit(shipped: ServerProcess, digits: Sequence[Pixels]) -> None:
    digits_agree(shipped, digits)


def test_digits_of_mnist_bit_for_bit(shipped: ServerProcess, mnist: Sequence[Pixels]) -> None:
    digits_agree(shipped, mnist)


@pytest.mark.parametrize(
    ("protocol", "data", "sentence"),
    [
        ("v1", {"instances": [[0.5]]}, r"instances has shape \[1, 1\]; expected UINT8 .*'400 Bad Request'"),
        ("v1", {}, "needs exactly one of 'instances' and 'inputs', '400 Bad Request'"),
        ("v2", {"inputs": []}, r"takes one input, 'pixels'; the request has \[\], '400 Bad Request'"),
    ],
)
def test_errors_have_the_message_of_the_server(
    server: ServerProcess, protocol: str, data: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(httpx.HTTPStatusError, match=sentence):
        Client(server, protocol).infer(data, model_name="shades")


def test_explain_is_not_supported(v1: Client) -> None:
    with pytest.raises(httpx.HTTPStatusError, match=r":explain is not supported; .*'501 Not Implemented'"):
        v1.explain("shades", {"instances": rows(0).tolist()})


def test_labels_come_with_the_classification_extension(v2: Client) -> None:
    wanted = kserve.protocol.infer_type.RequestedOutput("probabilities", {"classification": 2})
    response = v2.infer(
        request("shades", tensor(rows(level(7)), binary=True), request_outputs=[wanted]), model_name="shades"
    )
    assert [element.split(":")[2] for element in response.outputs[0].data] == [LABELS[7], LABELS[6]]
