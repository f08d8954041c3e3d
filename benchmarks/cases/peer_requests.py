"""Builds the same workload for each server, in a format that the server accepts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from benchmarks.cases.inputs import BenchmarkInputs
from benchmarks.servers import RunningServer
from service.loadgen.clients.request_bytes import form, post
from service.loadgen.target import Target
from service.loadgen.types import Requests
from service.loadgen.workload import response_parsers
from service.loadgen.workload.request_builders import Batch, requests
from service.repository.manifest import InputSpec

RequestFactory = Callable[[RunningServer, BenchmarkInputs, int], Requests]
PNG = {"Content-Type": "image/png"}


def protocol(name: str, running: RunningServer, inputs: BenchmarkInputs, images: int) -> Requests:
    """Build requests to convserve in a protocol of `service.loadgen.workload.request_builders`."""
    spec = InputSpec.model_validate(inputs.manifest["input"])
    target = Target(running.address, running.grpc, "", inputs.name, spec)
    return requests(name, target, batches(inputs, images))


raw = partial(protocol, "native")
tensor = partial(protocol, "open-inference")
grpc = partial(protocol, "grpc")


def as_form(running: RunningServer, inputs: BenchmarkInputs, images: int) -> Requests:
    """Build requests to convserve with the images in a multipart form."""
    return _posted(running, f"/models/{inputs.name}/classify?top_k=1", "images", inputs, images)


def fastapi_form(running: RunningServer, inputs: BenchmarkInputs, images: int) -> Requests:
    return _posted(running, "/classify", "image", inputs, images)


def fastapi_many(running: RunningServer, inputs: BenchmarkInputs, images: int) -> Requests:
    return _posted(running, "/classify/many", "images", inputs, images)


def fastapi_raw(running: RunningServer, inputs: BenchmarkInputs, images: int) -> Requests:
    return _bodies(running, "/classify/raw", inputs)


def asgi_body(running: RunningServer, inputs: BenchmarkInputs, images: int) -> Requests:
    return _bodies(running, "/", inputs)


def fastapi_json(running: RunningServer, inputs: BenchmarkInputs, images: int) -> Requests:
    """Build requests with decoded images as numbers in JSON."""
    shape = InputSpec.model_validate(inputs.manifest["input"]).shape
    data = []
    for batch in batches(inputs, images):
        rows = np.frombuffer(batch.rows, np.uint8).reshape(-1, *shape)
        body = json.dumps({"instances": rows.tolist()}).encode()
        data.append(post(running.address, "/infer", body, {"Content-Type": "application/json"}))
    return Requests(
        running.address, tuple(data), partial(response_parsers.tensorflow_serving, images), images
    )


def batches(inputs: BenchmarkInputs, images: int) -> Sequence[Batch]:
    """Return one batch per image; each starts with another image."""
    count = len(inputs.files)
    groups = [[(start + step) % count for step in range(images)] for start in range(count)]
    return [
        Batch([inputs.files[i] for i in group], b"".join(inputs.rows[i] for i in group)) for group in groups
    ]


def _posted(running: RunningServer, path: str, field: str, inputs: BenchmarkInputs, images: int) -> Requests:
    data = []
    for batch in batches(inputs, images):
        body, content_type = form(field, batch.files)
        data.append(post(running.address, path, body, {"Content-Type": content_type}))
    return Requests(running.address, tuple(data), partial(response_parsers.native, images), images)


def _bodies(running: RunningServer, path: str, inputs: BenchmarkInputs) -> Requests:
    data = tuple(post(running.address, path, file, PNG) for file in inputs.files)
    return Requests(running.address, data, partial(response_parsers.native, 1))
