"""What a generator is to send, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from .results.answer_checker import Reader


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens."""

    host: str
    port: int
    tls: bool = False


@dataclass(frozen=True, slots=True)
class Requests:
    """Prepared requests, sent in turns.

    Attributes:
        data: each a whole HTTP request; for gRPC a serialised message.
        method: of gRPC, as `/package.Service/Method`; None for HTTP.
        key: the API key of gRPC's calls; with HTTP it stands in the data.
    """

    address: Address
    data: tuple[bytes, ...]
    read: Reader
    images: int = 1
    method: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Times in seconds.

    Attributes:
        connections: open at a time, one request on each.
        rate: requests a second of an open loop, at random moments; None for a closed loop, in which each
            connection asks again as soon as it has been answered.
        warm_up: time before the window opens, under the same load.
        seconds: how long the window is open.
        begin: when the load begins, by `time.monotonic()`, which all processes of a machine share.
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
