"""How each contender is asked for the same work, in its own idiom."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from benchmarks.cases.inputs import Material
from benchmarks.servers import Running
from service.loadgen.clients.request_bytes import form, post
from service.loadgen.target import Target
from service.loadgen.types import Requests
from service.loadgen.workload import response_parsers
from service.loadgen.workload.request_builders import Batch, requests
from service.repository.manifest import InputSpec

Ask = Callable[[Running, Material, int], Requests]
PNG = {"Content-Type": "image/png"}


def dialect(name: str, running: Running, material: Material, images: int) -> Requests:
    """convserve, in a dialect of `service.loadgen.workload.request_builders`."""
    spec = InputSpec.model_validate(material.manifest["input"])
    target = Target(running.address, running.grpc, "", material.name, spec)
    return requests(name, target, batches(material, images))


raw = partial(dialect, "native")
tensor = partial(dialect, "open-inference")
grpc = partial(dialect, "grpc")


def as_form(running: Running, material: Material, images: int) -> Requests:
    """convserve, one picture as a form."""
    return _posted(running, f"/models/{material.name}/classify?top_k=1", "images", material, images)


def naive_form(running: Running, material: Material, images: int) -> Requests:
    return _posted(running, "/classify", "image", material, images)


def naive_many(running: Running, material: Material, images: int) -> Requests:
    return _posted(running, "/classify/many", "images", material, images)


def naive_raw(running: Running, material: Material, images: int) -> Requests:
    return _bodies(running, "/classify/raw", material)


def bare(running: Running, material: Material, images: int) -> Requests:
    return _bodies(running, "/", material)


def naive_json(running: Running, material: Material, images: int) -> Requests:
    """Rows of pixels as numbers in JSON."""
    shape = InputSpec.model_validate(material.manifest["input"]).shape
    data = []
    for batch in batches(material, images):
        rows = np.frombuffer(batch.rows, np.uint8).reshape(-1, *shape)
        body = json.dumps({"instances": rows.tolist()}).encode()
        data.append(post(running.address, "/infer", body, {"Content-Type": "application/json"}))
    return Requests(
        running.address, tuple(data), partial(response_parsers.tensorflow_serving, images), images
    )


def batches(material: Material, images: int) -> Sequence[Batch]:
    """As many requests as there are pictures, each beginning with another one."""
    count = len(material.files)
    groups = [[(start + step) % count for step in range(images)] for start in range(count)]
    return [
        Batch([material.files[i] for i in group], b"".join(material.rows[i] for i in group))
        for group in groups
    ]


def _posted(running: Running, path: str, field: str, material: Material, images: int) -> Requests:
    data = []
    for batch in batches(material, images):
        body, content_type = form(field, batch.files)
        data.append(post(running.address, path, body, {"Content-Type": content_type}))
    return Requests(running.address, tuple(data), partial(response_parsers.native, images), images)


def _bodies(running: Running, path: str, material: Material) -> Requests:
    data = tuple(post(running.address, path, file, PNG) for file in material.files)
    return Requests(running.address, data, partial(response_parsers.native, 1))
