"""Addresses, prepared requests, and the plan of a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from .results.response_checker import LabelParser


@dataclass(frozen=True, slots=True)
class Address:
    """The address that a server listens on."""

    host: str
    port: int
    tls: bool = False


@dataclass(frozen=True, slots=True)
class Requests:
    """Prepared requests, sent in turn.

    Attributes:
        data: each a complete HTTP request; for gRPC a serialized message.
        parse: returns the labels in a response.
        images: number of images in each request.
        method: the gRPC method, as `/package.Service/Method`; None for HTTP.
        key: the API key of gRPC calls; with HTTP it is part of the data.
    """

    address: Address
    data: tuple[bytes, ...]
    parse: LabelParser
    images: int = 1
    method: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. Times are in seconds.

    Attributes:
        connections: open at a time, with one request on each.
        rate: requests per second of an open loop with Poisson arrivals; None for a closed loop, in which each
            connection sends its next request after each response.
        warm_up: duration of the same load before the measurement.
        seconds: duration of the measurement.
        begin: start of the load by `time.monotonic()`, which all processes of a machine share.
    """

    requests: Requests
    connections: int
    rate: float | None
    warm_up: float
    seconds: float
    seed: int = 0
    begin: float = 0.0

    def share(self, index: int, count: int, begin: float) -> Self:
        """The part of one of `count` generators; independent Poisson processes add up to one."""
        connections = self.connections // count + (index < self.connections % count)
        rate = None if self.rate is None else self.rate * connections / self.connections
        return replace(self, connections=connections, rate=rate, seed=self.seed * count + index, begin=begin)
