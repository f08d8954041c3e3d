"""Every member that Triton's clients and perf_analyzer read; a missing one crashes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from fastapi.testclient import TestClient

from export.repository.manifest import InputSpec
from service.asgi.app import create_app
from service.config.settings import Settings
from tests.support.models import linear_model
from tests.support.models.gray_classifier import CLASSES, SIDE, publish_shades
from tests.support.models.linear_model import HEIGHT, WIDTH, Linear


def config(models: Path, name: str, **settings: Any) -> Any:
    with TestClient(create_app(Settings(models=models, **settings))) as client:
        response = client.get(f"/v2/models/{name}/config")
        assert response.json() == client.get(f"/v2/models/{name}/versions/1/config").json()
    assert response.status_code == 200
    return response.json()


def test_complete_configuration(repository: Path) -> None:
    assert config(repository, "shades", max_queue_delay_ms=1.5, queue_limit=300) == {
        "name": "shades",
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": 16,
        "input": [
            {
                "name": "pixels",
                "data_type": "TYPE_UINT8",
                "format": "FORMAT_NHWC",
                "dims": [SIDE, SIDE, 1],
                "is_shape_tensor": False,
                "allow_ragged_batch": False,
                "optional": False,
            }
        ],
        "output": [
            {
                "name": "probabilities",
                "data_type": "TYPE_FP32",
                "dims": [CLASSES],
                "label_filename": "labels.txt",
                "is_shape_tensor": False,
            }
        ],
        "instance_group": [{"name": "shades", "kind": "KIND_CPU", "count": 1, "gpus": []}],
        "dynamic_batching": {
            "preferred_batch_size": [],
            "max_queue_delay_microseconds": 1500,
            "default_queue_policy": {
                "timeout_action": "REJECT",
                "default_timeout_microseconds": 0,
                "allow_timeout_override": True,
                "max_queue_size": 300,
            },
        },
        "response_cache": {"enable": False},
    }


@pytest.mark.parametrize(
    ("dtype", "layout", "channels"),
    [("uint8", "NCHW", 1), ("float32", "NHWC", 3), ("float32", "NCHW", 3)],
)
def test_types_and_layouts(
    tmp_path: Path,
    dtype: Literal["uint8", "float32"],
    layout: Literal["NHWC", "NCHW"],
    channels: int,
) -> None:
    spec = InputSpec("pixels", dtype, layout, HEIGHT, WIDTH, channels, "fit")
    Linear(spec, "logits").publish(tmp_path)
    document = config(tmp_path, "linear")
    [input_config] = document["input"]
    assert input_config["data_type"] == {"uint8": "TYPE_UINT8", "float32": "TYPE_FP32"}[dtype]
    assert input_config["format"] == f"FORMAT_{layout}"
    assert input_config["dims"] == list(spec.shape())
    assert document["output"][0]["dims"] == [len(linear_model.LABELS)]
    assert document["output"][0]["name"] == "logits"


def test_model_with_a_maximum_batch_size_of_one(tmp_path: Path) -> None:
    publish_shades(tmp_path, max_batch_size=1)
    assert config(tmp_path, "shades")["max_batch_size"] == 1


def test_statistics_have_all_eight_members_before_the_first_request(client: TestClient) -> None:
    [entry] = client.get("/v2/models/shades/stats").json()["model_stats"]
    nothing = {"count": 0, "ns": 0}
    assert entry == {
        "name": "shades",
        "version": "1",
        "last_inference": 0,
        "inference_count": 0,
        "execution_count": 0,
        "inference_stats": {
            "success": nothing,
            "fail": nothing,
            "queue": nothing,
            "compute_input": nothing,
            "compute_infer": nothing,
            "compute_output": nothing,
            "cache_hit": nothing,
            "cache_miss": nothing,
        },
        "batch_stats": [],
        "response_stats": {},
        "memory_usage": [],
    }
