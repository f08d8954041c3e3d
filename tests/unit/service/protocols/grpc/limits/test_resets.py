"""The limit on calls that their clients cancel at once."""

from __future__ import annotations

from service.protocols.grpc.limits.connection import Connection
from service.protocols.grpc.limits.resets import BURST, MAX_CLIENTS, MAX_CREDIT, RATE, ResetLimit
from tests.support.manual_clock import ManualClock


def connection(host: int = 1, port: int = 5000) -> Connection:
    return Connection(f"ipv4:10.0.{host // 256}.{host % 256}:{port}")


def test_burst_and_rate_belong_to_the_client() -> None:
    clock = ManualClock()
    limit = ResetLimit(clock)
    first, second, other = connection(port=1), connection(port=2), connection(host=2)
    assert not any(limit.exceeds(first) for _ in range(BURST))
    assert limit.exhausted(first.client)
    assert limit.exceeds(first)
    assert limit.exceeds(second)
    assert not limit.exceeds(other)
    assert not limit.exhausted(other.client)
    clock.advance(10.5 / RATE)
    assert sum(not limit.exceeds(second) for _ in range(20)) == 10


def test_bucket_is_never_more_than_full() -> None:
    clock = ManualClock()
    limit = ResetLimit(clock)
    limit.exceeds(connection())
    clock.advance(1000.0)
    assert sum(not limit.exceeds(connection()) for _ in range(2 * BURST)) == BURST


def test_answered_calls_make_up_for_cancelled_ones() -> None:
    limit = ResetLimit(ManualClock())
    honest = connection()
    for _ in range(20 * BURST):
        limit.answer(honest)
        assert not limit.exceeds(honest)
    for _ in range(20 * BURST):
        limit.answer(honest)
    assert sum(not limit.exceeds(honest) for _ in range(20 * BURST)) == MAX_CREDIT + BURST


def test_clients_are_forgotten() -> None:
    limit = ResetLimit(ManualClock())
    for host in range(2 * MAX_CLIENTS):
        for _ in range(BURST):
            limit.exceeds(connection(host))
    remembered = [limit.exhausted(connection(host).client) for host in range(2 * MAX_CLIENTS)]
    assert remembered == [False] * MAX_CLIENTS + [True] * MAX_CLIENTS
