"""The KServe SDK's gRPC client against a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from kserve import InferenceGRPCClient, InferInput, InferRequest  # type: ignore[import-untyped]

from tests.support.http.native_response import probabilities
from tests.support.models.gray_classifier import image, level, publish_shades, rows
from tests.support.server.server_process import FREE_GRPC_PORT, ServerProcess


@pytest.fixture(scope="module")
def shades(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    models = tmp_path_factory.mktemp("models")
    publish_shades(models)
    with ServerProcess(models, *FREE_GRPC_PORT) as server:
        yield server
        assert server.stderr.text == ""


def run(server: ServerProcess, test: Callable[[InferenceGRPCClient], Awaitable[None]]) -> None:
    async def main() -> None:
        async with InferenceGRPCClient(server.grpc_address) as client:
            await test(client)

    asyncio.run(main())


def pixels(value: int, *, binary: bool) -> InferInput:
    array = rows(value)
    tensor = InferInput("pixels", list(array.shape), "UINT8")
    tensor.set_data_from_numpy(array, binary_data=binary)
    return tensor


def request(tensor: InferInput, **options: Any) -> InferRequest:
    return InferRequest(model_name=options.pop("model", "shades"), infer_inputs=[tensor], **options)


def test_health(shades: ServerProcess) -> None:
    async def test(client: InferenceGRPCClient) -> None:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("shades")
        assert not await client.is_model_ready("unknown")

    run(shades, test)


@pytest.mark.parametrize("binary", [True, False], ids=["raw", "typed"])
def test_pixels_match_the_native_dialect(shades: ServerProcess, binary: bool) -> None:
    async def test(client: InferenceGRPCClient) -> None:
        response = await client.infer(request(pixels(level(6), binary=binary), request_id="mine"))
        assert (response.id, response.model_name, response.model_version) == ("mine", "shades", "1")
        (output,) = response.outputs
        expected = probabilities(shades.url, "shades", image(level(6)))
        np.testing.assert_array_equal(output.as_numpy(), [expected])

    run(shades, test)


def test_encoded_images(shades: ServerProcess) -> None:
    async def test(client: InferenceGRPCClient) -> None:
        tensor = InferInput("pixels", [2], "BYTES")
        tensor.set_data_from_numpy(np.array([image(level(2)), image(level(9))], dtype=np.object_))
        (output,) = (await client.infer(request(tensor))).outputs
        assert output.as_numpy().argmax(axis=1).tolist() == [2, 9]

    run(shades, test)


def test_errors(shades: ServerProcess) -> None:
    async def test(client: InferenceGRPCClient) -> None:
        for model, code in (("unknown", grpc.StatusCode.NOT_FOUND), ("shades", None)):
            tensor = pixels(1, binary=True)
            if code is None:
                tensor, code = InferInput("pixels", [1], "BYTES"), grpc.StatusCode.INVALID_ARGUMENT
                tensor.set_data_from_numpy(np.array([b"no image"], dtype=np.object_))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await client.infer(request(tensor, model=model))
            assert caught.value.code() == code

    run(shades, test)
