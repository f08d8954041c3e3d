from __future__ import annotations

import asyncio
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from service.errors import ConfigurationError, ModelNotFound, ModelNotReady, NothingToServe
from service.inference.registry import Registry
from tests.support.models.file_records import record_files
from tests.support.models.gray_classifier import graph, publish_shades
from tests.support.models.loaded import loaded


def opened(models: Path, **settings: object) -> Registry:
    return loaded(models, **settings).registry


def test_names_and_versions_are_resolved(tmp_path: Path) -> None:
    for _ in range(10):
        publish_shades(tmp_path, "a")
    publish_shades(tmp_path, "b")
    (tmp_path / "a/config.toml").write_text('versions = "all"')
    models = opened(tmp_path)
    assert (models.resolve().name, models.resolve().version) == ("a", "10")
    assert models.resolve("a", "9").version == "9"
    assert models.resolve("b").version == "1"
    with pytest.raises(ModelNotFound, match="no model 'c' is served; available: a, b"):
        models.resolve("c")
    with pytest.raises(ModelNotFound, match="b has no version '7'; available: 1"):
        models.resolve("b", "7")


def test_default_model_is_the_setting_or_convnet_or_the_first_classifier(
    tmp_path: Path,
) -> None:
    publish_shades(tmp_path, "zebra")
    publish_shades(tmp_path, "ape")
    assert opened(tmp_path).resolve().name == "ape"
    publish_shades(tmp_path, "convnet")
    assert opened(tmp_path).resolve().name == "convnet"
    assert opened(tmp_path, default_model="zebra").resolve().name == "zebra"


def test_default_model_outside_the_repository_is_rejected(tmp_path: Path) -> None:
    publish_shades(tmp_path, "zebra")
    publish_shades(tmp_path, "ape")
    with pytest.raises(ConfigurationError, match=r"default model 'lion' is not in .*; available: ape, zebra"):
        opened(tmp_path, default_model="lion")


def test_default_model_that_failed_to_load_makes_the_server_unready(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish_shades(tmp_path, "ape")
    (publish_shades(tmp_path, "zebra") / "model.onnx").write_bytes(b"rubbish")
    models = opened(tmp_path, default_model="zebra")
    assert not models.ready
    assert models.default_failure is not None
    assert models.default_failure.name == "zebra"
    assert "not ready: the default model 'zebra' is not served" in caplog.text
    assert models.resolve("ape").name == "ape"
    with pytest.raises(ModelNotReady, match="zebra version 1 is not served"):
        models.resolve()
    assert opened(tmp_path, default_model="ape").ready


def test_broken_version_is_reported_and_the_others_are_served(
    repository: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = publish_shades(repository)
    (broken / "model.onnx").write_bytes(b"rubbish")
    models = opened(repository)
    assert models.ready
    assert models.resolve("shades").version == "1"
    [failure] = models.failures
    assert (failure.name, failure.version) == ("shades", "2")
    assert "shades version 2 is not served: model.onnx is not the file" in caplog.text
    with pytest.raises(ModelNotReady, match=r"shades version 2 is not served: model\.onnx"):
        models.resolve("shades", "2")


def test_file_that_is_not_onnx_is_rejected(repository: Path) -> None:
    version = repository / "shades/1"
    (version / "model.onnx").write_bytes(b"not a graph")
    record_files(version)
    with pytest.raises(NothingToServe, match="is not an ONNX graph"):
        opened(repository)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"input": {"name": "image"}}, "the graph has the uint8 tensor 'pixels'"),
        ({"input": {"height": 9}}, "do not fit a model"),
        ({"output": {"name": "dense"}}, "has no output 'dense'; it has probabilities"),
    ],
)
def test_graph_that_differs_from_its_manifest_is_rejected(
    repository: Path, change: dict[str, dict[str, object]], sentence: str
) -> None:
    path = repository / "shades/1/manifest.json"
    document = json.loads(path.read_text())
    for part, fields in change.items():
        document[part].update(fields)
    path.write_text(json.dumps(document))
    with pytest.raises(NothingToServe, match=sentence):
        opened(repository)


def test_graph_with_several_inputs_is_rejected(repository: Path) -> None:
    model = onnx.load_model_from_string(graph())
    model.graph.input.append(onnx.helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, [1]))
    (repository / "shades/1/model.onnx").write_bytes(model.SerializeToString())
    record_files(repository / "shades/1")
    with pytest.raises(NothingToServe, match="has 2 inputs; an image classifier has one"):
        opened(repository)


def test_graph_with_a_fixed_batch_size_is_rejected(repository: Path) -> None:
    model = onnx.load_model_from_string(graph())
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    (repository / "shades/1/model.onnx").write_bytes(model.SerializeToString())
    record_files(repository / "shades/1")
    with pytest.raises(NothingToServe, match=r"of shape \(4, 8, 8, 1\)"):
        opened(repository)


def test_model_with_wrong_golden_outputs_is_rejected(repository: Path) -> None:
    path = repository / "shades/1/golden.npz"
    with np.load(path) as arrays:
        inputs, outputs = arrays["inputs"], arrays["outputs"]
    np.savez(path, inputs=inputs, outputs=outputs[::-1])
    record_files(path.parent)
    with pytest.raises(NothingToServe, match="the golden outputs differ by 1"):
        opened(repository)
    np.savez(path, inputs=inputs, outputs=np.full_like(outputs, np.nan))
    record_files(path.parent)
    with pytest.raises(NothingToServe, match="the golden outputs differ by nan"):
        opened(repository)


def test_empty_repository_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NothingToServe, match=r"contains no <name>/<version>/ folder"):
        opened(tmp_path)


def test_requested_cuda_without_a_device_is_a_configuration_error(repository: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has CUDA")
    with pytest.raises(ConfigurationError, match="CONVSERVE_PROVIDER=cuda cannot be used"):
        opened(repository, provider="cuda")
    assert opened(repository, provider="auto").resolve().engine.provider == "cpu"


@pytest.mark.gpu
def test_cuda_reproduces_the_golden_outputs(repository: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("no CUDA provider: needs a CUDA device and onnxruntime-gpu")
    # Loading compares the golden outputs, so a successful load is the test.
    assert opened(repository, provider="cuda").resolve().engine.provider == "cuda"


def test_threads_setting_is_applied(repository: Path) -> None:
    assert opened(repository, threads=2).resolve().engine.threads == 2
    assert opened(repository).resolve().engine.threads == 1  # more threads gain nothing for so small a graph


def test_drain_fails_readiness_before_requests_are_rejected(repository: Path) -> None:
    models = opened(repository)
    models.drain()
    assert not models.ready
    assert models.resolve().name == "shades"
    asyncio.run(models.close())
    with pytest.raises(ModelNotReady, match="shutting down"):
        models.resolve()


def test_missing_repository_is_a_configuration_error(tmp_path: Path, repository: Path) -> None:
    shutil.rmtree(repository)
    with pytest.raises(ConfigurationError):
        opened(repository)


def test_load_failures_are_logged_only_if_a_model_is_served(
    repository: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a served model, the message of NothingToServe contains all failures."""
    (repository / "shades/1/manifest.json").unlink()
    with caplog.at_level(logging.ERROR):
        with pytest.raises(NothingToServe, match=r"manifest\.json cannot be read"):
            opened(repository)
        assert caplog.records == []
        publish_shades(repository)
        (repository / "shades/config.toml").write_text('versions = "all"')
        opened(repository)
    assert len(caplog.records) == 1
