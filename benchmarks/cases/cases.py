"""Defines the rows: small images on the convnet, photographs on AlexNet, and both on a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from benchmarks.cases import peer_requests
from benchmarks.cases.alexnet_models import AlexNet
from benchmarks.cases.inputs import BenchmarkInputs, digits, photographs
from benchmarks.cases.measurements import (
    Row,
    at_least,
    at_least_times,
    at_most,
    at_most_times,
    engine_entry,
    load_entry,
    startup_entry,
)
from benchmarks.server_pool import repository
from benchmarks.servers import ROOT, BenchmarkServer, baseline_asgi, baseline_fastapi, convserve
from service.engine.session import choose_provider

CONVNET = ROOT / "models" / "convnet" / "3"
SMALL = ("c1", "c16", "c64", "c512", "many", "tensor", "start")
LARGE = ("alexnet", "alexnet-int8", "graph")
DEVICE = ("cuda-convnet", "cuda-alexnet", "cuda-alexnet-float16")
KEYS = (*SMALL, *LARGE, *DEVICE)
# Requests per second of pytriton, the fastest gRPC server measured on a machine like this.
PYTRITON = 2800


@dataclass(frozen=True, slots=True)
class SmallModelCases:
    """The convnet and its servers."""

    inputs: BenchmarkInputs
    one: BenchmarkServer
    two: BenchmarkServer
    fastapi_one: BenchmarkServer
    fastapi_two: BenchmarkServer
    asgi: BenchmarkServer

    @classmethod
    def prepare(cls, stack: ExitStack) -> Self:
        models = stack.enter_context(repository(CONVNET))
        inputs = BenchmarkInputs.of(CONVNET, digits(), "16 synthetic digits, 28x28 PNG")
        return cls(
            inputs,
            convserve(models, 1),
            convserve(models, 2),
            baseline_fastapi(CONVNET, 1),
            baseline_fastapi(CONVNET, 2),
            baseline_asgi(CONVNET, 2),
        )

    def rows(self) -> Iterator[Row]:
        yield self._single("c1", 1)
        yield self._single("c16", 16)
        yield self._single("c64", 64)
        yield self._overload()
        yield self._many()
        yield self._tensor()
        yield self._start()

    def _single(self, key: str, connections: int) -> Row:
        inputs = self.inputs
        own = load_entry(self.two, peer_requests.raw, inputs, connections)
        peer = load_entry(self.fastapi_two, peer_requests.fastapi_form, inputs, connections)
        others = [
            load_entry(self.one, peer_requests.raw, inputs, connections),
            load_entry(self.fastapi_one, peer_requests.fastapi_form, inputs, connections),
            load_entry(self.two, peer_requests.as_form, inputs, connections, note="form"),
            load_entry(self.fastapi_two, peer_requests.fastapi_raw, inputs, connections, note="raw body"),
            load_entry(self.asgi, peer_requests.asgi_body, inputs, connections),
        ]
        targets = {
            1: (at_most_times(own, peer, 0.7, "p50"),),
            16: (at_least_times(own, peer, 2.2),),
            64: (at_least_times(own, peer, 2.0), at_most(own, 0.19, "cpu", "ms per request")),
        }[connections]
        if connections == 64:
            others.append(engine_entry(inputs, 2, 1))
        plural = "s" if connections > 1 else ""
        title = f"one 28x28 PNG per request, {connections} connection{plural}"
        return Row(key, title, (own, peer, *others), targets)

    def _overload(self) -> Row:
        inputs = self.inputs
        own = load_entry(self.two, peer_requests.raw, inputs, 512, note="512 connections")
        light = load_entry(self.two, peer_requests.raw, inputs, 64, note="64 connections")
        peer = load_entry(self.fastapi_two, peer_requests.fastapi_form, inputs, 512, note="512 connections")
        targets = (
            at_least_times(own, light, 0.95, "rate"),
            at_most(own, 100, "p99", "ms"),
            at_most(own, 20, "rejection_p99", "ms"),
        )
        return Row("c512", "one 28x28 PNG per request, 512 connections", (own, light, peer), targets)

    def _many(self) -> Row:
        own = load_entry(self.two, peer_requests.raw, self.inputs, 4, images=32)
        peer = load_entry(self.fastapi_two, peer_requests.fastapi_many, self.inputs, 4, images=32)
        entries = (own, peer, engine_entry(self.inputs, 2, 32))
        return Row("many", "32 PNGs per request, 4 connections", entries, (at_least_times(own, peer, 1.5),))

    def _tensor(self) -> Row:
        own = load_entry(self.two, peer_requests.tensor, self.inputs, 16, note="Open Inference binary")
        grpc = load_entry(self.two, peer_requests.grpc, self.inputs, 16, note="gRPC")
        peer = load_entry(self.fastapi_two, peer_requests.fastapi_json, self.inputs, 16, note="JSON")
        targets = (at_least_times(own, peer, 1.8), at_least(grpc, PYTRITON, "rate", "/s (pytriton)"))
        return Row("tensor", "one uint8 row per request, 16 connections", (own, grpc, peer), targets)

    def _start(self) -> Row:
        one = startup_entry(self.one, peer_requests.raw, self.inputs)
        two = startup_entry(self.two, peer_requests.raw, self.inputs)
        alone = replace(
            self.one, name=f"{self.one.name}, no gRPC", command=(*self.one.command, "--grpc-port=0")
        )
        plain = startup_entry(alone, peer_requests.raw, self.inputs)
        peers = [
            startup_entry(peer, peer_requests.fastapi_form, self.inputs)
            for peer in (self.fastapi_one, self.fastapi_two)
        ]
        targets = (
            at_most(one, 1.0, "ready", "s"),
            at_most(one, 110, "pss", "MB"),
            at_most(two, 190, "pss", "MB"),
        )
        return Row(
            "start", "start to ready, and memory after some requests", (one, plain, two, *peers), targets
        )


@dataclass(frozen=True, slots=True)
class LargeModelCases:
    """AlexNet and its servers."""

    published: BenchmarkInputs
    int8: BenchmarkInputs | None
    plain: BenchmarkInputs | None
    servers: dict[str, BenchmarkServer] = field(default_factory=dict)

    @classmethod
    def prepare(cls, stack: ExitStack, models: Path | None, photos: Path) -> Self:
        """Publish AlexNet if necessary, and define its servers.

        Raises:
            RuntimeError: AlexNet could not be published.
        """
        found = AlexNet.find(models)
        files, origin = photographs(photos)
        published = BenchmarkInputs.of(found.published, files, origin)
        int8 = BenchmarkInputs.of(found.int8, files, origin) if found.int8 else None
        plain = BenchmarkInputs.of(found.plain, files, origin) if found.plain else None
        own = cls(published, int8, plain)
        for name, inputs in (("published", published), ("int8", int8)):
            if inputs is not None:
                folder = stack.enter_context(repository(inputs.folder))
                own.servers[name] = convserve(folder, 1)
                own.servers[f"{name}, two"] = convserve(folder, 2)
        return own

    def rows(self) -> Iterator[Row]:
        yield self._floats()
        if self.int8 is not None:
            yield self._int8(self.int8)
        yield self._graph()

    def _floats(self) -> Row:
        inputs = self.published
        one = load_entry(self.servers["published"], peer_requests.raw, inputs, 16)
        own = load_entry(self.servers["published, two"], peer_requests.raw, inputs, 16)
        peer = load_entry(
            baseline_fastapi(self._as_converted.folder, 2), peer_requests.fastapi_form, self._as_converted, 16
        )
        same = load_entry(
            baseline_fastapi(inputs.folder, 2),
            peer_requests.fastapi_form,
            inputs,
            16,
            note="our published graph",
        )
        engine = engine_entry(inputs, 2, 8)
        targets = (at_least_times(own, peer, 2.2), at_least_times(own, engine, 0.92))
        title = "AlexNet fp32, one JPEG per request, 16 connections"
        return Row("alexnet", title, (own, peer, engine, one, same), targets)

    def _int8(self, inputs: BenchmarkInputs) -> Row:
        own = load_entry(self.servers["int8, two"], peer_requests.raw, inputs, 16)
        peer = load_entry(
            baseline_fastapi(self._as_converted.folder, 2),
            peer_requests.fastapi_form,
            self._as_converted,
            16,
            note="fp32",
        )
        entries = (own, peer, engine_entry(inputs, 2, 8))
        title = "AlexNet int8, one JPEG per request, 16 connections"
        return Row("alexnet-int8", title, entries, (at_least_times(own, peer, 4),))

    def _graph(self) -> Row:
        named = {"as converted": self.plain, "as published": self.published, "as published, int8": self.int8}
        entries = [
            engine_entry(inputs, 1, batch, decode=False, note=f"{name}, batches of {batch}")
            for batch in (1, 8)
            for name, inputs in named.items()
            if inputs is not None
        ]
        return Row("graph", "AlexNet's graph alone, one thread (p50: milliseconds per image)", entries)

    @property
    def _as_converted(self) -> BenchmarkInputs:
        return self.plain or self.published


@dataclass(frozen=True, slots=True)
class GpuCase:
    """One network on a GPU.

    Attributes:
        images: in each request.
        batch: images in each batch of the engine without a server.
    """

    key: str
    inputs: BenchmarkInputs
    server: BenchmarkServer
    connections: int
    images: int
    batch: int

    def row(self) -> Row:
        own = load_entry(self.server, peer_requests.raw, self.inputs, self.connections, images=self.images)
        note = f"no server, batches of {self.batch}"
        engine = engine_entry(self.inputs, 1, self.batch, decode=False, cuda=True, note=note)
        both = engine_entry(self.inputs, 1, self.batch, cuda=True)
        network = self.key.removeprefix("cuda-").replace("-", " in ")
        title = f"{network} on CUDA, {self.images} images per request, {self.connections} connections"
        return Row(self.key, title, (own, engine, both))


@dataclass(frozen=True, slots=True)
class GpuCases:
    """Networks on a GPU, each compared with the engine without a server."""

    cases: Sequence[GpuCase]

    @classmethod
    def prepare(cls, stack: ExitStack, models: Path | None, photos: Path) -> Self:
        """Check the GPU and define the servers of each network.

        Raises:
            ConfigurationError: there is no usable GPU.
            RuntimeError: AlexNet could not be published.
        """
        choose_provider("cuda")
        alexnet = AlexNet.find(models)
        images = photographs(photos)

        def case(key: str, inputs: BenchmarkInputs, connections: int, images: int, batch: int) -> GpuCase:
            models = stack.enter_context(repository(inputs.folder))
            server = convserve(models, 1, "--provider", "cuda")
            return GpuCase(key, inputs, server, connections, images, batch)

        small = BenchmarkInputs.of(CONVNET, digits(), "16 synthetic digits, 28x28 PNG")
        cases = [case("cuda-convnet", small, 16, 32, 64)]
        for key, folder in (("cuda-alexnet", alexnet.published), ("cuda-alexnet-float16", alexnet.float16)):
            if folder is not None:
                cases.append(case(key, BenchmarkInputs.of(folder, *images), 64, 1, 16))
        return cls(cases)

    def rows(self) -> Iterator[Row]:
        return (case.row() for case in self.cases)
