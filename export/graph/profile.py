"""Measures the time of each node of a published graph with ONNX Runtime's profiler, on one thread."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from ..errors import ManifestError
from ..repository.repository_reader import read_version
from .ort_session import OrtSession

_RUNS: Final = 20
_SUFFIX: Final = "_kernel_time"


@dataclass(frozen=True)
class NodeTime:
    """The time of a node, named as ONNX Runtime names it after its own optimizations.

    Attributes:
        name: the node's name.
        op_type: its operator.
        milliseconds: the shortest time of all runs, per image.
    """

    name: str
    op_type: str
    milliseconds: float


def profile(models: Path, name: str, version: str | None, batch_size: int) -> list[NodeTime]:
    """Profile a published model on its golden inputs.

    Args:
        models: the model repository.
        name: the model.
        version: its version; None for the highest one that is not quantized.
        batch_size: images per run.

    Returns:
        The nodes in the order of execution.

    Raises:
        ManifestError: the model accepts fewer images per batch.
        ExportError: the version does not exist or cannot be run.
    """
    published = read_version(models, name, version)
    if batch_size > published.manifest.max_batch_size:
        raise ManifestError(f"{name} accepts at most {published.manifest.max_batch_size} images per batch")
    inputs = np.resize(published.golden_inputs, (batch_size, *published.golden_inputs.shape[1:]))
    with TemporaryDirectory() as folder:
        session = OrtSession(published.graph, threads=1, profile_prefix=Path(folder) / "profile")
        for _ in range(_RUNS):
            session.run(inputs)
        events = json.loads(session.end_profiling().read_bytes())
    return list(_node_times(events, batch_size))


def format_profile(nodes: Sequence[NodeTime]) -> Iterator[str]:
    """Yield one line per node with its share of the total, then a line with the total."""
    total = sum(node.milliseconds for node in nodes)
    for node in nodes:
        share = node.milliseconds / total
        yield f"{node.milliseconds:9.3f} ms  {share:5.1%}  {node.op_type:20} {node.name}"
    yield f"{total:9.3f} ms  per image, on one thread"


def _node_times(events: list[dict[str, Any]], batch_size: int) -> Iterator[NodeTime]:
    times: dict[tuple[str, str], list[int]] = defaultdict(list)
    for event in events:
        if event["cat"] == "Node" and event["name"].endswith(_SUFFIX):
            times[event["name"].removesuffix(_SUFFIX), event["args"]["op_name"]].append(event["dur"])
    for (name, op_type), microseconds in times.items():
        yield NodeTime(name, op_type, min(microseconds) / 1000 / batch_size)
