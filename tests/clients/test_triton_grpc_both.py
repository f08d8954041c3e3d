"""The calls that Triton's blocking and asynchronous gRPC clients share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.clients.asynchronous import Asynchronous
from tests.support.clients.triton_grpc import asynchronous, blocking
from tests.support.http.native_response import probabilities, ranked
from tests.support.models.gray_classifier import CLASSES, SIDE, image, level, rows
from tests.support.server.server_process import FREE_GRPC_PORT, ServerProcess

Client = Any


@pytest.fixture(scope="module")
def server(shades: Path) -> Iterator[ServerProcess]:
    with ServerProcess(shades, *FREE_GRPC_PORT) as server:
        yield server
        assert server.stderr.text == ""


@pytest.fixture(params=["grpc", "aio"])
def client(request: pytest.FixtureRequest, server: ServerProcess) -> Iterator[Client]:
    address = server.grpc_address
    if request.param == "aio":
        yield Asynchronous(asynchronous, address)
    else:
        with blocking.InferenceServerClient(address) as client:
            yield client


def tensor(array: Any, datatype: str) -> Any:
    given = blocking.InferInput("pixels", list(array.shape), datatype)
    given.set_data_from_numpy(array)
    return given


def pixels(*levels: int) -> Any:
    return tensor(rows(*levels), "UINT8")


def files(*images: bytes) -> Any:
    return tensor(np.array(images, np.object_), "BYTES")


def rejected(status: str, sentence: str) -> Any:
    """Expects the call in the block to be rejected with this status and message."""
    return pytest.raises(blocking.InferenceServerException, match=rf"\[StatusCode\.{status}\].*{sentence}")


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_pixels_and_encoded_images_bit_for_bit(
    client: Client, server: ServerProcess, compression: str | None
) -> None:
    expected = [probabilities(server.url, "shades", image(level(index))) for index in (2, 6)]
    for given in (pixels(level(2), level(6)), files(image(level(2)), image(level(6)))):
        response = client.infer("shades", [given], request_id="seven", compression_algorithm=compression)
        assert response.get_response().id == "seven"
        np.testing.assert_array_equal(response.as_numpy("probabilities"), expected)


def test_classes_with_their_labels(client: Client, server: ServerProcess) -> None:
    file = image(200, side=9)
    wanted = blocking.InferRequestedOutput("probabilities", class_count=3)
    classes = client.infer("shades", [files(file)], outputs=[wanted]).as_numpy("probabilities")
    best = ranked(server.url, "shades", file)[:3]
    assert [element.decode() for element in classes[0]] == [
        f"{each['probability']:.6f}:{each['index']}:{each['label']}" for each in best
    ]


def test_model_metadata_configuration_and_statistics(client: Client) -> None:
    assert client.get_model_metadata("shades").outputs[0].shape == [-1, CLASSES]
    assert client.get_model_config("shades").config.max_batch_size == 16
    assert [entry.name for entry in client.get_model_repository_index().models] == ["shades"]
    statistics = client.get_inference_statistics("shades", as_json=True)["model_stats"][0]
    assert len(statistics["inference_stats"]) == 8


@pytest.mark.parametrize(
    ("call", "status", "sentence"),
    [
        (lambda c: c.infer("none", [pixels(0)]), "NOT_FOUND", "no model 'none' is served"),
        (lambda c: c.get_model_metadata("none"), "NOT_FOUND", "no model 'none' is served"),
        (
            lambda c: c.infer("shades", [tensor(np.zeros((1, SIDE, SIDE, 1), np.float32), "FP32")]),
            "INVALID_ARGUMENT",
            "datatype FP32; expected UINT8",
        ),
        (lambda c: c.infer("shades", [pixels(0)], timeout=1), "DEADLINE_EXCEEDED", "the deadline passed"),
        (lambda c: c.get_trace_settings("none"), "NOT_FOUND", "no model 'none' is served"),
        (
            lambda c: c.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]}),
            "INVALID_ARGUMENT",
            "trace_level is fixed while the server runs",
        ),
        (
            lambda c: c.update_log_settings({"log_verbose_level": 3}),
            "INVALID_ARGUMENT",
            "log_verbose_level is fixed while the server runs",
        ),
        (
            lambda c: c.update_log_settings({"log_colour": True}),
            "INVALID_ARGUMENT",
            "unknown setting 'log_colour'",
        ),
        (
            lambda c: c.register_system_shared_memory("region", "/key", 64),
            "UNIMPLEMENTED",
            "SystemSharedMemoryRegister is not supported",
        ),
        (
            lambda c: c.unregister_cuda_shared_memory(),
            "UNIMPLEMENTED",
            "CudaSharedMemoryUnregister is not supported",
        ),
    ],
)
def test_errors(client: Client, call: Callable[[Client], object], status: str, sentence: str) -> None:
    with rejected(status, sentence):
        call(client)


def test_log_and_trace_settings_are_read_only(client: Client) -> None:
    logs = client.get_log_settings(as_json=True)["settings"]
    assert logs["log_format"] == {"string_param": "default"}
    assert (logs["log_warning"], logs["log_info"]) == ({"bool_param": True}, {"bool_param": False})
    sent = {"log_warning": True, "log_verbose_level": 0, "log_file": ""}
    assert client.update_log_settings(sent, as_json=True)["settings"] == logs
    traces = client.get_trace_settings("shades", as_json=True)["settings"]
    assert traces["trace_level"] == {"value": ["OFF"]}
    asked_traces = {"trace_level": ["OFF"], "trace_rate": "0", "trace_count": None}
    assert client.update_trace_settings(settings=asked_traces, as_json=True)["settings"] == traces


def test_shared_memory_is_not_supported(client: Client) -> None:
    assert not client.get_system_shared_memory_status().regions
    assert not client.get_cuda_shared_memory_status().regions
