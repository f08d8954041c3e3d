"""Metadata, Triton's configuration and statistics, for REST and gRPC.

Each is a JSON object whose members have the names of the gRPC message's fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import __version__
from ...inference.model import LoadedModel
from ...inference.registry import Registry
from ...telemetry.model_statistics import Field, Totals
from ..shared.tensors import DATATYPE_NAMES

PLATFORM = "onnxruntime_onnx"
BACKEND = "onnxruntime"
LABEL_FILE = "labels.txt"
EXTENSIONS = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "parameters",
    "statistics",
]


def server_metadata() -> dict[str, Any]:
    """The response of `GET /v2`."""
    return {"name": "convserve", "version": __version__, "extensions": EXTENSIONS}


def metadata_of(model: LoadedModel, versions: Sequence[str]) -> dict[str, Any]:
    """The response of `GET /v2/models/{name}`; the batch axis and other dynamic axes are -1."""
    manifest = model.manifest
    return {
        "name": model.name,
        "versions": versions,
        "platform": PLATFORM,
        "inputs": [
            {
                "name": manifest.input.name,
                "datatype": DATATYPE_NAMES[manifest.input.dtype],
                "shape": [-1, *_dims(manifest.input.axes)],
            }
        ],
        "outputs": [
            {"name": manifest.output.name, "datatype": "FP32", "shape": [-1, *_dims(manifest.output_axes)]},
        ],
    }


def config_of(model: LoadedModel) -> dict[str, Any]:
    """Triton's ModelConfig with every member that its clients read; 64-bit integers are numbers."""
    manifest = model.manifest
    return {
        "name": model.name,
        "platform": PLATFORM,
        "backend": BACKEND,
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": manifest.max_batch_size,
        "input": [
            {
                "name": manifest.input.name,
                "data_type": f"TYPE_{DATATYPE_NAMES[manifest.input.dtype]}",
                "format": f"FORMAT_{manifest.input.layout}",
                "dims": _dims(manifest.input.axes),
                "is_shape_tensor": False,
                "allow_ragged_batch": False,
                "optional": False,
            }
        ],
        "output": [
            {
                "name": manifest.output.name,
                "data_type": "TYPE_FP32",
                "dims": _dims(manifest.output_axes),
                "label_filename": LABEL_FILE if manifest.classifies else "",
                "is_shape_tensor": False,
            }
        ],
        "instance_group": [
            {
                "name": model.name,
                "kind": "KIND_GPU" if model.engine.provider == "cuda" else "KIND_CPU",
                "count": 1,
                "gpus": [0] if model.engine.provider == "cuda" else [],
            }
        ],
        "dynamic_batching": {
            "preferred_batch_size": [],
            "max_queue_delay_microseconds": round(model.batcher.max_queue_delay * 1e6),
            "default_queue_policy": {
                "timeout_action": "REJECT",
                "default_timeout_microseconds": 0,
                "allow_timeout_override": True,
                "max_queue_size": model.admission.limit,
            },
        },
        "response_cache": {"enable": False},
    }


def _dims(axes: Sequence[int | None]) -> list[int]:
    """A dynamic axis is -1."""
    return [-1 if axis is None else axis for axis in axes]


def all_statistics(registry: Registry) -> dict[str, Any]:
    """The response of `GET /v2/models/stats`."""
    return {"model_stats": [statistics_of(model) for model in registry.models]}


def statistics_by_name(registry: Registry, name: str, version: str | None) -> dict[str, Any]:
    """The response of `GET /v2/models/{name}/stats`: every version if none is named.

    Raises:
        ModelNotFound, ModelNotReady: as the registry raises them.
    """
    registry.resolve(name, version)
    chosen = [model for model in registry.models if model.name == name and version in (None, model.version)]
    return {"model_stats": [statistics_of(model) for model in chosen]}


def statistics_of(model: LoadedModel) -> dict[str, Any]:
    """One entry of `GET /v2/models/stats`: durations in nanoseconds, counts of inferences in images."""
    totals = model.statistics.totals()
    fields = totals.fields
    succeeded, failed = int(fields[Field.SUCCESS_COUNT]), int(fields[Field.FAIL_COUNT])
    return {
        "name": model.name,
        "version": model.version,
        "last_inference": int(fields[Field.LAST_INFERENCE]),
        "inference_count": int(fields[Field.INFERENCE_COUNT]),
        "execution_count": int(fields[Field.EXECUTION_COUNT]),
        "inference_stats": {
            "success": _duration(succeeded, fields[Field.SUCCESS]),
            "fail": _duration(failed, fields[Field.FAIL]),
            "queue": _duration(succeeded, fields[Field.QUEUE]),
            "compute_input": _duration(succeeded, fields[Field.COMPUTE_INPUT]),
            "compute_infer": _duration(succeeded, fields[Field.COMPUTE_INFER]),
            "compute_output": _duration(succeeded, fields[Field.COMPUTE_OUTPUT]),
            "cache_hit": _duration(0, 0),
            "cache_miss": _duration(0, 0),
        },
        "batch_stats": _batches(totals),
        "response_stats": {},
        "memory_usage": [],
    }


def _batches(totals: Totals) -> list[dict[str, Any]]:
    return [
        {
            "batch_size": size,
            "compute_input": _duration(count, 0),
            "compute_infer": _duration(count, totals.batch_ns[size]),
            "compute_output": _duration(count, 0),
        }
        for size, count in enumerate(totals.batches.tolist())
        if count
    ]


def _duration(count: int, nanoseconds: Any) -> dict[str, int]:
    return {"count": count, "ns": int(nanoseconds)}
