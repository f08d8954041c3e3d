"""Which rows there are: small pictures on the convnet, photographs on AlexNet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from benchmarks.cases import peer_requests
from benchmarks.cases.alexnet_models import AlexNet
from benchmarks.cases.inputs import Material, digits, photographs
from benchmarks.cases.measurements import (
    Row,
    asked,
    at_least,
    at_least_times,
    at_most,
    at_most_times,
    started,
    unserved,
)
from benchmarks.server_pool import repository
from benchmarks.servers import ROOT, Contender, bare, convserve, naive
from service.engine.session import choose_provider

CONVNET = ROOT / "models" / "convnet" / "1"
SMALL = ("c1", "c16", "c64", "c512", "many", "tensor", "start")
LARGE = ("alexnet", "alexnet-int8", "graph")
DEVICE = ("cuda-convnet", "cuda-alexnet", "cuda-alexnet-float16")
KEYS = (*SMALL, *LARGE, *DEVICE)
# What pytriton, the best peer over gRPC, answered on such a machine (requests a second).
PYTRITON = 2800


@dataclass(frozen=True, slots=True)
class Small:
    """The convnet and its servers."""

    material: Material
    one: Contender
    two: Contender
    naive_one: Contender
    naive_two: Contender
    floor: Contender

    @classmethod
    def prepared(cls, stack: ExitStack) -> Self:
        models = stack.enter_context(repository(CONVNET))
        material = Material.of(CONVNET, digits(), "16 drawn digits, 28x28 PNG")
        return cls(
            material,
            convserve(models, 1),
            convserve(models, 2),
            naive(CONVNET, 1),
            naive(CONVNET, 2),
            bare(CONVNET, 2),
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
        material = self.material
        own = asked(self.two, peer_requests.raw, material, connections)
        peer = asked(self.naive_two, peer_requests.naive_form, material, connections)
        others = [
            asked(self.one, peer_requests.raw, material, connections),
            asked(self.naive_one, peer_requests.naive_form, material, connections),
            asked(self.two, peer_requests.as_form, material, connections, note="form"),
            asked(self.naive_two, peer_requests.naive_raw, material, connections, note="raw body"),
            asked(self.floor, peer_requests.bare, material, connections),
        ]
        targets = {
            1: (at_most_times(own, peer, 0.7, "p50"),),
            16: (at_least_times(own, peer, 2.2),),
            64: (at_least_times(own, peer, 2.0), at_most(own, 0.19, "cpu", "ms a request")),
        }[connections]
        if connections == 64:
            others.append(unserved(material, 2, 1))
        plural = "s" if connections > 1 else ""
        title = f"one 28x28 PNG a request, {connections} connection{plural}"
        return Row(key, title, (own, peer, *others), targets)

    def _overload(self) -> Row:
        material = self.material
        own = asked(self.two, peer_requests.raw, material, 512, note="512 connections")
        calm = asked(self.two, peer_requests.raw, material, 64, note="64 connections")
        peer = asked(self.naive_two, peer_requests.naive_form, material, 512, note="512 connections")
        targets = (
            at_least_times(own, calm, 0.95, "rate"),
            at_most(own, 100, "p99", "ms"),
            at_most(own, 20, "refusal_p99", "ms"),
        )
        return Row("c512", "one 28x28 PNG a request, 512 connections", (own, calm, peer), targets)

    def _many(self) -> Row:
        own = asked(self.two, peer_requests.raw, self.material, 4, images=32)
        peer = asked(self.naive_two, peer_requests.naive_many, self.material, 4, images=32)
        entries = (own, peer, unserved(self.material, 2, 32))
        return Row("many", "32 PNGs a request, 4 connections", entries, (at_least_times(own, peer, 1.5),))

    def _tensor(self) -> Row:
        own = asked(self.two, peer_requests.tensor, self.material, 16, note="Open Inference binary")
        grpc = asked(self.two, peer_requests.grpc, self.material, 16, note="gRPC")
        peer = asked(self.naive_two, peer_requests.naive_json, self.material, 16, note="JSON")
        targets = (at_least_times(own, peer, 1.8), at_least(grpc, PYTRITON, "rate", "/s (pytriton)"))
        return Row("tensor", "one uint8 row a request, 16 connections", (own, grpc, peer), targets)

    def _start(self) -> Row:
        one = started(self.one, peer_requests.raw, self.material)
        two = started(self.two, peer_requests.raw, self.material)
        alone = replace(
            self.one, name=f"{self.one.name}, no gRPC", command=(*self.one.command, "--grpc-port=0")
        )
        plain = started(alone, peer_requests.raw, self.material)
        peers = [
            started(peer, peer_requests.naive_form, self.material)
            for peer in (self.naive_one, self.naive_two)
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
class Large:
    """AlexNet and its servers."""

    published: Material
    int8: Material | None
    plain: Material | None
    servers: dict[str, Contender] = field(default_factory=dict)

    @classmethod
    def prepared(cls, stack: ExitStack, models: Path | None, photos: Path) -> Self:
        """Raises RuntimeError where there is no AlexNet."""
        found = AlexNet.found(models)
        files, origin = photographs(photos)
        published = Material.of(found.published, files, origin)
        int8 = Material.of(found.int8, files, origin) if found.int8 else None
        plain = Material.of(found.plain, files, origin) if found.plain else None
        own = cls(published, int8, plain)
        for name, material in (("published", published), ("int8", int8)):
            if material is not None:
                folder = stack.enter_context(repository(material.folder))
                own.servers[name] = convserve(folder, 1)
                own.servers[f"{name}, two"] = convserve(folder, 2)
        return own

    def rows(self) -> Iterator[Row]:
        yield self._floats()
        if self.int8 is not None:
            yield self._int8(self.int8)
        yield self._graph()

    def _floats(self) -> Row:
        material = self.published
        one = asked(self.servers["published"], peer_requests.raw, material, 16)
        own = asked(self.servers["published, two"], peer_requests.raw, material, 16)
        peer = asked(naive(self._as_converted.folder, 2), peer_requests.naive_form, self._as_converted, 16)
        same = asked(
            naive(material.folder, 2), peer_requests.naive_form, material, 16, note="our published graph"
        )
        engine = unserved(material, 2, 8)
        targets = (at_least_times(own, peer, 2.2), at_least_times(own, engine, 0.92))
        title = "AlexNet fp32, one JPEG a request, 16 connections"
        return Row("alexnet", title, (own, peer, engine, one, same), targets)

    def _int8(self, material: Material) -> Row:
        own = asked(self.servers["int8, two"], peer_requests.raw, material, 16)
        peer = asked(
            naive(self._as_converted.folder, 2), peer_requests.naive_form, self._as_converted, 16, note="fp32"
        )
        entries = (own, peer, unserved(material, 2, 8))
        title = "AlexNet int8, one JPEG a request, 16 connections"
        return Row("alexnet-int8", title, entries, (at_least_times(own, peer, 4),))

    def _graph(self) -> Row:
        named = {"as converted": self.plain, "as published": self.published, "as published, int8": self.int8}
        entries = [
            unserved(material, 1, batch, decode=False, note=f"{name}, batches of {batch}")
            for batch in (1, 8)
            for name, material in named.items()
            if material is not None
        ]
        return Row("graph", "AlexNet's graph alone, one thread (p50: milliseconds a picture)", entries)

    @property
    def _as_converted(self) -> Material:
        return self.plain or self.published


@dataclass(frozen=True, slots=True)
class Trial:
    """One network on a device: pictures a request, and rows a batch of the engine alone."""

    key: str
    material: Material
    server: Contender
    connections: int
    images: int
    batch: int

    def row(self) -> Row:
        own = asked(self.server, peer_requests.raw, self.material, self.connections, images=self.images)
        note = f"no server, batches of {self.batch}"
        engine = unserved(self.material, 1, self.batch, decode=False, cuda=True, note=note)
        both = unserved(self.material, 1, self.batch, cuda=True)
        network = self.key.removeprefix("cuda-").replace("-", " in ")
        title = f"{network} on CUDA, {self.images} to a request, {self.connections} connections"
        return Row(self.key, title, (own, engine, both))


@dataclass(frozen=True, slots=True)
class Device:
    """Networks on a GPU, each against the engine alone on the same one."""

    trials: Sequence[Trial]

    @classmethod
    def prepared(cls, stack: ExitStack, models: Path | None, photos: Path) -> Self:
        """
        Raises:
            ConfigurationError: there is no device; the message says why.
            RuntimeError: there is no AlexNet.
        """
        choose_provider("cuda")
        alexnet = AlexNet.found(models)
        pictures = photographs(photos)

        def trial(key: str, material: Material, connections: int, images: int, batch: int) -> Trial:
            models = stack.enter_context(repository(material.folder))
            server = convserve(models, 1, "--provider", "cuda")
            return Trial(key, material, server, connections, images, batch)

        small = Material.of(CONVNET, digits(), "16 drawn digits, 28x28 PNG")
        trials = [trial("cuda-convnet", small, 16, 32, 64)]
        for key, folder in (("cuda-alexnet", alexnet.published), ("cuda-alexnet-float16", alexnet.float16)):
            if folder is not None:
                trials.append(trial(key, Material.of(folder, *pictures), 64, 1, 16))
        return cls(trials)

    def rows(self) -> Iterator[Row]:
        return (trial.row() for trial in self.trials)
