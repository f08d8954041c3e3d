"""A version as the Open Inference Protocol describes it: metadata, Triton's configuration, statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..loaded_model import LoadedModel
from ..statistics import Field, Totals
from .tensors import NAMES

PLATFORM = "onnxruntime_onnx"
BACKEND = "onnxruntime"
LABEL_FILE = "labels.txt"


def metadata_of(model: LoadedModel, versions: Sequence[str]) -> dict[str, Any]:
    """The answer of `GET /v2/models/{name}`; the batch axis is -1."""
    manifest = model.manifest
    return {
        "name": model.name,
        "versions": versions,
        "platform": PLATFORM,
        "inputs": [
            {
                "name": manifest.input.name,
                "datatype": NAMES[manifest.input.dtype],
                "shape": [-1, *manifest.input.shape],
            }
        ],
        "outputs": [
            {"name": manifest.output.name, "datatype": "FP32", "shape": [-1, len(manifest.labels)]},
        ],
    }


def config_of(model: LoadedModel) -> dict[str, Any]:
    """Triton's ModelConfig with every member that its clients look for; 64-bit integers are numbers."""
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
                "data_type": f"TYPE_{NAMES[manifest.input.dtype]}",
                "format": f"FORMAT_{manifest.input.layout}",
                "dims": manifest.input.shape,
                "is_shape_tensor": False,
                "allow_ragged_batch": False,
                "optional": False,
            }
        ],
        "output": [
            {
                "name": manifest.output.name,
                "data_type": "TYPE_FP32",
                "dims": [len(manifest.labels)],
                "label_filename": LABEL_FILE,
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
