"""Triton's HTTP clients, synchronous and asynchronous."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from service import __version__
from tests.support.clients.asynchronous import Asynchronous
from tests.support.clients.pixel_images import Pixels, png
from tests.support.http.native_response import probabilities, ranked
from tests.support.models.gray_classifier import CLASSES, SIDE, image, level, rows
from tests.support.models.linear_model import HEIGHT, WIDTH
from tests.support.server.server_process import ServerProcess

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its dependencies warn on import
    import tritonclient.http as triton  # type: ignore[import-untyped]
    import tritonclient.http.aio as triton_aio  # type: ignore[import-untyped]

Client = Any
BOTH_WAYS = [(False, False), (True, False), (False, True), (True, True)]


def connected(kind: str, server: ServerProcess) -> Iterator[Client]:
    address = server.url.removeprefix("http://")
    if kind == "aio":
        yield Asynchronous(triton_aio, address)
    else:
        with triton.InferenceServerClient(address) as client:
            yield client


@pytest.fixture(params=["http", "aio"])
def client(request: pytest.FixtureRequest, server: ServerProcess) -> Iterator[Client]:
    yield from connected(request.param, server)


@pytest.fixture(params=["http", "aio"])
def digit_client(request: pytest.FixtureRequest, shipped: ServerProcess) -> Iterator[Client]:
    yield from connected(request.param, shipped)


def tensor(values: Any, datatype: str = "UINT8", *, binary: bool = True) -> Any:
    given = triton.InferInput("pixels", list(values.shape), datatype)
    given.set_data_from_numpy(values, binary_data=binary)
    return given


def files(*images: bytes) -> Any:
    return tensor(np.array(images, np.object_), "BYTES")


def wanted(*, binary: bool = True, classes: int = 0) -> list[Any]:
    return [triton.InferRequestedOutput("probabilities", binary_data=binary, class_count=classes)]


def test_health(client: Client) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("shades")
    assert client.is_model_ready("shades", "1")
    assert not client.is_model_ready("shades", "2")
    assert not client.is_model_ready("no model")


def test_metadata_and_configuration(client: Client) -> None:
    server = client.get_server_metadata()
    assert (server["name"], server["version"]) == ("convserve", __version__)
    assert "binary_tensor_data" in server["extensions"]
    metadata = client.get_model_metadata("linear")
    assert metadata["inputs"] == [{"name": "pixels", "datatype": "FP32", "shape": [-1, 3, HEIGHT, WIDTH]}]
    assert client.get_model_metadata("shades", "1")["versions"] == ["1"]
    config = client.get_model_config("linear")
    assert config["input"][0]["format"] == "FORMAT_NCHW"
    assert config["max_batch_size"] == 16


def test_repository_index(client: Client) -> None:
    entries = [
        (entry["name"], entry["version"], entry["state"]) for entry in client.get_model_repository_index()
    ]
    assert entries == [("linear", "1", "READY"), ("shades", "1", "READY")]


def test_statistics(client: Client) -> None:
    def count() -> int:
        [entry] = client.get_inference_statistics("shades")["model_stats"]
        assert set(entry["inference_stats"]) >= {"success", "fail", "queue", "compute_infer", "cache_hit"}
        inferences: int = entry["inference_count"]
        return inferences

    before = count()
    client.infer("shades", [tensor(rows(1, 2, 3))])
    assert count() == before + 3
    assert len(client.get_inference_statistics()["model_stats"]) == 2


@pytest.mark.parametrize(("binary_in", "binary_out"), BOTH_WAYS)
def test_tensors_in_json_and_as_bytes(
    client: Client, server: ServerProcess, binary_in: bool, binary_out: bool
) -> None:
    given = tensor(rows(level(2), level(6)), binary=binary_in)
    result = client.infer("shades", [given], outputs=wanted(binary=binary_out), request_id="seven")
    expected = [probabilities(server.url, "shades", image(level(index))) for index in (2, 6)]
    np.testing.assert_array_equal(result.as_numpy("probabilities"), np.stack(expected))
    document = result.get_response()
    assert (document["id"], document["model_name"], document["model_version"]) == ("seven", "shades", "1")
    assert ("data" in result.get_output("probabilities")) != binary_out


def test_outputs_are_binary_by_default(client: Client) -> None:
    result = client.infer("shades", [tensor(rows(level(8)))], model_version="1")
    assert result.get_output("probabilities")["parameters"] == {"binary_data_size": 4 * CLASSES}
    assert result.as_numpy("probabilities").argmax() == 8


def test_drawn_digits_bit_for_bit(
    digit_client: Client, shipped: ServerProcess, digits: Sequence[Pixels]
) -> None:
    expected = np.stack([probabilities(shipped.url, "convnet", png(digit)) for digit in digits])
    assert expected.argmax(axis=1).tolist() == list(range(10))
    by_pixels = digit_client.infer("convnet", [tensor(np.stack(digits)[..., np.newaxis])])
    by_files = digit_client.infer("convnet", [files(*map(png, digits))])
    np.testing.assert_array_equal(by_pixels.as_numpy("probabilities"), expected)
    np.testing.assert_array_equal(by_files.as_numpy("probabilities"), expected)


def test_digits_of_mnist_bit_for_bit(
    digit_client: Client, shipped: ServerProcess, mnist: Sequence[Pixels]
) -> None:
    expected = np.stack([probabilities(shipped.url, "convnet", png(digit)) for digit in mnist])
    by_pixels = digit_client.infer("convnet", [tensor(np.stack(mnist)[..., np.newaxis])])
    by_files = digit_client.infer("convnet", [files(*map(png, mnist))])
    np.testing.assert_array_equal(by_pixels.as_numpy("probabilities"), expected)
    np.testing.assert_array_equal(by_files.as_numpy("probabilities"), expected)


@pytest.mark.parametrize("binary", [True, False])
def test_classes_with_their_labels(client: Client, server: ServerProcess, binary: bool) -> None:
    images = [image(level(3), side=30), image(200, side=9)]
    result = client.infer("shades", [files(*images)], outputs=wanted(binary=binary, classes=3))
    classes = result.as_numpy("probabilities")
    assert classes.shape == (2, 3)
    for row, file in zip(classes, images, strict=True):
        elements = [element.decode() if isinstance(element, bytes) else element for element in row]
        best = ranked(server.url, "shades", file)[:3]
        assert elements == [f"{each['probability']:.6f}:{each['index']}:{each['label']}" for each in best]


@pytest.mark.parametrize("into", [None, "gzip", "deflate"])
@pytest.mark.parametrize("back", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_compression_both_ways(client: Client, into: str | None, back: str | None, binary: bool) -> None:
    pixels = np.resize(rows(*range(250)), (256, SIDE, SIDE, 1))
    outputs = wanted(binary=binary, classes=CLASSES)  # large enough to be compressed
    options = {"request_compression_algorithm": into, "response_compression_algorithm": back}
    plain = client.infer("shades", [tensor(pixels)], outputs=outputs)
    packed = client.infer("shades", [tensor(pixels)], outputs=outputs, **options)
    np.testing.assert_array_equal(packed.as_numpy("probabilities"), plain.as_numpy("probabilities"))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda c: c.get_model_metadata("none"), "no model 'none' is served; available: linear, shades"),
        (lambda c: c.get_model_config("shades", "9"), "shades has no version '9'; available: 1"),
        (lambda c: c.get_inference_statistics("none"), "no model 'none' is served"),
        (lambda c: c.infer("none", [tensor(rows(0))]), "no model 'none' is served"),
        (
            lambda c: c.infer("shades", [tensor(np.zeros((1, SIDE, SIDE, 1), np.float32), "FP32")]),
            r"input 'pixels' has datatype FP32; expected UINT8 of shape \[n, 8, 8, 1\]",
        ),
        (lambda c: c.infer("shades", [tensor(rows(0)[0])]), r"has shape \[8, 8, 1\]; expected UINT8"),
        (lambda c: c.infer("shades", [files(b"text")]), "not an image in a supported format"),
        (
            lambda c: c.infer("shades", [tensor(rows(0))], outputs=[triton.InferRequestedOutput("logits")]),
            "shades has no output 'logits'; it has 'probabilities'",
        ),
        (lambda c: c.infer("shades", [tensor(rows(0))], timeout=1), "the deadline passed"),
        (lambda c: c.load_model("nothing"), "the model repository has no model 'nothing'"),
        (lambda c: c.load_model("shades", config="{}"), "the parameter 'config' is not accepted"),
        (lambda c: c.load_model("shades", files={"file:1/a": b""}), "the parameter '(config|file:1/a)'"),
        (lambda c: c.unload_model("nothing"), "the model repository has no model 'nothing'"),
    ],
)
def test_errors_have_the_message_of_the_server(
    client: Client, call: Callable[[Client], object], sentence: str
) -> None:
    with pytest.raises(triton.InferenceServerException, match=sentence):
        call(client)


def test_shared_memory_is_not_supported(client: Client) -> None:
    assert client.get_system_shared_memory_status() == []
    assert client.get_cuda_shared_memory_status() == []
    with pytest.raises(triton.InferenceServerException, match="is not supported by this server"):
        client.register_system_shared_memory("region", "/key", 64)


def test_parameters_and_priority_are_accepted(client: Client) -> None:
    result = client.infer(
        "shades",
        [tensor(rows(level(1)))],
        priority=1,
        timeout=30_000_000,
        sequence_id=7,
        sequence_start=True,
        parameters={"anything": "goes"},
    )
    assert result.as_numpy("probabilities").argmax() == 1


def test_log_and_trace_settings_can_be_read(client: Client) -> None:
    assert client.get_log_settings()["log_format"] == "default"
    assert client.get_trace_settings()["trace_level"] == ["OFF"]
    assert client.get_trace_settings("shades")["trace_level"] == ["OFF"]
