"""tritonclient over gRPC, blocking and asynchronous, against a server of the published models."""

from __future__ import annotations

import asyncio
import queue
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.clients.pixel_images import Pixels, png
from tests.support.clients.triton_grpc import asynchronous, blocking
from tests.support.http.native_response import probabilities
from tests.support.models.gray_classifier import SIDE, image, level, publish_shades, rows
from tests.support.server.metrics_page import MetricsPage, scrape_until
from tests.support.server.server_process import FREE_GRPC_PORT, ROOT, ServerProcess

DEADLINE = 60.0
FOREVER_MS = "3600000"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Serves the convnet and `shades` over HTTP and gRPC."""
    models = tmp_path_factory.mktemp("models")
    shutil.copytree(ROOT / "models" / "convnet", models / "convnet")
    publish_shades(models)
    with ServerProcess(models, *FREE_GRPC_PORT) as server:
        yield server
        assert server.stderr.text == ""


@pytest.fixture(scope="module")
def slow_batches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Serves `shades` with a batch delay longer than the test."""
    models = tmp_path_factory.mktemp("models")
    publish_shades(models)
    with ServerProcess(models, *FREE_GRPC_PORT, "--max-queue-delay-ms", FOREVER_MS) as server:
        yield server
        assert server.stderr.text == ""


@pytest.fixture
def client(both: ServerProcess) -> Iterator[Any]:
    with blocking.InferenceServerClient(both.grpc_address) as client:
        yield client


@pytest.fixture
def kept_waiting(slow_batches: ServerProcess) -> Iterator[Any]:
    with blocking.InferenceServerClient(slow_batches.grpc_address) as client:
        yield client


def pixels(array: NDArray[Any], datatype: str = "UINT8") -> Any:
    tensor = blocking.InferInput("pixels", list(array.shape), datatype)
    tensor.set_data_from_numpy(array)
    return tensor


def images(*files: bytes) -> Any:
    tensor = blocking.InferInput("pixels", [len(files)], "BYTES")
    tensor.set_data_from_numpy(np.array(files, dtype=np.object_))
    return tensor


def as_rows(digits: Sequence[Pixels]) -> NDArray[np.uint8]:
    return np.stack(digits)[..., np.newaxis]


def rejected(status: str, sentence: str) -> Any:
    """Expects the call in the block to be rejected with this status and message."""
    return pytest.raises(blocking.InferenceServerException, match=rf"\[StatusCode\.{status}\].*{sentence}")


def test_health(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("convnet")
    assert client.is_model_ready("convnet", "3")
    assert not client.is_model_ready("convnet", "1000")
    assert not client.is_model_ready("unknown")


def test_metadata_and_configuration_as_image_client_reads_them(client: Any) -> None:
    metadata = client.get_model_metadata("convnet", as_json=True)
    config = client.get_model_config("convnet", as_json=True)["config"]
    (source,), (target,) = metadata["inputs"], metadata["outputs"]
    assert (source["datatype"], source["shape"]) == ("UINT8", ["-1", "28", "28", "1"])
    assert (target["datatype"], target["shape"]) == ("FP32", ["-1", "10"])
    assert config["input"][0]["format"] == "FORMAT_NHWC"
    assert config["input"][0]["data_type"] == "TYPE_UINT8"
    assert config["max_batch_size"] > 1
    assert "classification" in client.get_server_metadata().extensions


def test_repository(client: Any) -> None:
    index = client.get_model_repository_index().models
    assert {(row.name, row.version, row.state) for row in index} == {
        ("convnet", "3", "READY"),
        ("shades", "1", "READY"),
    }
    client.load_model("shades")
    with rejected("NOT_FOUND", "the model repository has no model 'nothing'"):
        client.load_model("nothing")
    with rejected("INVALID_ARGUMENT", "the parameter 'config' is not accepted"):
        client.load_model("shades", config="{}")
    client.unload_model("shades")
    assert not client.is_model_ready("shades")
    client.load_model("shades")
    assert client.is_model_ready("shades")


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_pixels_match_the_native_dialect_bit_for_bit(
    both: ServerProcess, client: Any, digits: Sequence[Pixels], compression: str | None
) -> None:
    response = client.infer("convnet", [pixels(as_rows(digits))], compression_algorithm=compression)
    expected = [probabilities(both.url, "convnet", png(digit)) for digit in digits]
    np.testing.assert_array_equal(response.as_numpy("probabilities"), expected)


def test_pixels_and_files_agree_over_rest_and_grpc(
    both: ServerProcess, client: Any, mnist: Sequence[Pixels]
) -> None:
    http = pytest.importorskip("tritonclient.http")
    tensor = http.InferInput("pixels", [len(mnist), 28, 28, 1], "UINT8")
    tensor.set_data_from_numpy(as_rows(mnist))
    with http.InferenceServerClient(both.url.removeprefix("http://")) as rest:
        expected = rest.infer("convnet", [tensor]).as_numpy("probabilities")
    for sent in (pixels(as_rows(mnist)), images(*map(png, mnist))):
        response = client.infer("convnet", [sent], request_id="mine")
        assert response.get_response().id == "mine"
        np.testing.assert_array_equal(response.as_numpy("probabilities"), expected)


def test_classes_with_their_labels(client: Any) -> None:
    wanted = blocking.InferRequestedOutput("probabilities", class_count=2)
    response = client.infer("shades", [pixels(rows(level(3), level(8)))], outputs=[wanted])
    classes = response.as_numpy("probabilities")
    assert classes.shape == (2, 2)
    assert [row[0].decode().split(":")[1:] for row in classes] == [["3", "shade 3"], ["8", "shade 8"]]


def test_statistics_grow(client: Any) -> None:
    def inferences() -> int:
        (statistics,) = client.get_inference_statistics("shades").model_stats
        count: int = statistics.inference_count
        return count

    before = inferences()
    client.infer("shades", [pixels(rows(1, 2, 3))])
    assert inferences() == before + 3
    assert {each.name for each in client.get_inference_statistics().model_stats} == {"convnet", "shades"}


def test_errors(client: Any) -> None:
    with rejected("NOT_FOUND", "no model 'unknown' is served; available: convnet, shades"):
        client.infer("unknown", [pixels(rows(1))])
    with rejected("NOT_FOUND", "has no version '7'"):
        client.get_model_config("shades", "7")
    with rejected("INVALID_ARGUMENT", "datatype FP32; expected UINT8 of shape"):
        client.infer("shades", [pixels(np.zeros((1, SIDE, SIDE, 1), np.float32), "FP32")])
    with rejected("INVALID_ARGUMENT", "not an image"):
        client.infer("shades", [images(b"no image")])
    with rejected("RESOURCE_EXHAUSTED", "at most 256"):
        client.infer("shades", [pixels(np.zeros((257, SIDE, SIDE, 1), np.uint8))])


def test_priority_and_timeout_are_accepted(client: Any) -> None:
    response = client.infer("shades", [images(image(level(4)))], priority=1, timeout=10_000_000)
    assert response.as_numpy("probabilities").argmax() == 4


def test_deadline_of_the_call_or_of_the_request(kept_waiting: Any, slow_batches: ServerProcess) -> None:
    with rejected("DEADLINE_EXCEEDED", ""):
        kept_waiting.infer("shades", [pixels(rows(1))], client_timeout=0.2)
    with rejected("DEADLINE_EXCEEDED", "the deadline passed"):
        kept_waiting.infer("shades", [pixels(rows(1))], timeout=1000)
    scrape_until(slow_batches.url, lambda page: page.is_idle())


def test_cancelled_call_frees_its_place(kept_waiting: Any, slow_batches: ServerProcess) -> None:
    def cancelled(page: MetricsPage) -> float:
        return page.total("convserve_requests_total", protocol="open_inference_grpc", code="CANCELLED")

    # A client cancels when its deadline passes, so another test's call may be counted.
    before = cancelled(scrape_until(slow_batches.url, MetricsPage.is_idle))
    responses: queue.Queue[Any] = queue.Queue()
    call = kept_waiting.async_infer(
        "shades", [pixels(rows(1))], callback=lambda result, error: responses.put(error)
    )
    scrape_until(slow_batches.url, lambda page: page.total("convserve_queue_depth") == 1)
    call.cancel()
    assert "CANCELLED" in str(responses.get(timeout=DEADLINE))
    assert cancelled(scrape_until(slow_batches.url, MetricsPage.is_idle)) == before + 1


def test_stream(client: Any) -> None:
    responses: queue.Queue[Any] = queue.Queue()
    client.start_stream(lambda result, error: responses.put((result, error)))
    try:
        for index in range(10):
            client.async_stream_infer("shades", [pixels(rows(level(index)))], request_id=str(index))
        client.async_stream_infer("unknown", [pixels(rows(0))])
        for index in range(10):
            result, error = responses.get(timeout=DEADLINE)
            assert error is None
            assert result.get_response().id == str(index)
            assert result.as_numpy("probabilities").argmax() == index
        result, error = responses.get(timeout=DEADLINE)
        assert result is None
        assert "no model 'unknown'" in str(error)
    finally:
        client.stop_stream()


@asynccontextmanager
async def connected(server: ServerProcess) -> AsyncIterator[Any]:
    async with asynchronous.InferenceServerClient(server.grpc_address) as client:
        yield client


def test_asynchronous_client(both: ServerProcess) -> None:
    async def test() -> None:
        async with connected(both) as client:
            assert await client.is_server_live()
            assert await client.is_model_ready("shades")
            assert (await client.get_model_metadata("shades")).versions == ["1"]
            assert (await client.get_model_config("shades")).config.max_batch_size == 16
            calls = [client.infer("shades", [pixels(rows(level(index % 10)))]) for index in range(100)]
            responses = await asyncio.gather(*calls)
            best = [response.as_numpy("probabilities").argmax() for response in responses]
            assert best == [index % 10 for index in range(100)]
            with rejected("NOT_FOUND", "no model"):
                await client.infer("unknown", [pixels(rows(1))])

    asyncio.run(test())


def test_asynchronous_clients_stream(both: ServerProcess) -> None:
    async def requests() -> AsyncIterator[dict[str, Any]]:
        for index in range(10):
            yield {"model_name": "shades", "inputs": [pixels(rows(level(index)))]}

    async def test() -> None:
        async with connected(both) as client:
            best = []
            async for result, error in client.stream_infer(requests()):
                assert error is None
                best.append(result.as_numpy("probabilities").argmax())
            assert best == list(range(10))

    asyncio.run(test())
