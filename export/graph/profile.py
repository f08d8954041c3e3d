"""Tells where a published graph spends its time: ONNX Runtime's own profile, on one thread."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import onnxruntime

from ..errors import ManifestError
from ..repository.repository_reader import read
from .ort_session import opened

_RUNS: Final = 20
_SUFFIX: Final = "_kernel_time"


@dataclass(frozen=True)
class NodeTime:
    """A node as ONNX Runtime runs it, fused and turned, and its shortest time in milliseconds a picture."""

    name: str
    kind: str
    milliseconds: float


def profile(models: Path, name: str, version: str | None, batch: int) -> list[NodeTime]:
    """The nodes in the order they run, for batches of so many.

    Raises:
        ExportError: there is no such version, or it cannot be run.
    """
    published = read(models, name, version)
    if batch > published.manifest.max_batch_size:
        raise ManifestError(f"{name} takes at most {published.manifest.max_batch_size} pictures at once")
    inputs = np.resize(published.golden_inputs, (batch, *published.golden_inputs.shape[1:]))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_profiling = True
    with TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = opened(published.graph, options)
        for _ in range(_RUNS):
            session.run(None, {published.manifest.input.name: inputs})
        events = json.loads(Path(session.end_profiling()).read_bytes())
    return list(_nodes(events, batch))


def told(nodes: list[NodeTime]) -> Iterator[str]:
    """A line a node, and one for the sum; the share of each is of the sum."""
    total = sum(node.milliseconds for node in nodes)
    for node in nodes:
        share = node.milliseconds / total
        yield f"{node.milliseconds:9.3f} ms  {share:5.1%}  {node.kind:20} {node.name}"
    yield f"{total:9.3f} ms  a picture, on one thread"


def _nodes(events: list[dict[str, Any]], batch: int) -> Iterator[NodeTime]:
    times: dict[tuple[str, str], list[int]] = defaultdict(list)
    for event in events:
        if event["cat"] == "Node" and event["name"].endswith(_SUFFIX):
            times[event["name"].removesuffix(_SUFFIX), event["args"]["op_name"]].append(event["dur"])
    for (name, kind), microseconds in times.items():
        yield NodeTime(name, kind, min(microseconds) / 1000 / batch)
