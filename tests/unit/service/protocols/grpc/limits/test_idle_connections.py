"""The choice of the idle connections that are closed."""

from __future__ import annotations

from service.protocols.grpc.limits.idle_connections import longest_idle
from service.system.tcp_connections import TcpState


def idle(seconds: float) -> TcpState:
    return TcpState(received=100, idle=seconds)


def test_client_with_most_connections_loses_the_longest_idle() -> None:
    states = {("10.0.0.1", port): idle(port) for port in (5, 9, 7)} | {("10.0.0.2", 1): idle(100.0)}
    assert longest_idle(states, (), 2) == [("10.0.0.1", 9), ("10.0.0.1", 7)]


def test_connections_of_one_ipv6_network_count_together() -> None:
    states = {(f"2001:db8::{index}", 1): idle(2.0 + index) for index in range(3)}
    states |= {("2001:db8:1::1", port): idle(50.0) for port in (1, 2)}
    assert longest_idle(states, (), 1) == [("2001:db8::2", 1)]


def test_busy_and_recent_connections_stay() -> None:
    states = {("10.0.0.1", 1): idle(9.0), ("10.0.0.1", 2): idle(0.5), ("10.0.0.1", 3): idle(3.0)}
    assert longest_idle(states, {("10.0.0.1", 1)}, 3) == [("10.0.0.1", 3)]


def test_nothing_is_closed_without_excess() -> None:
    assert longest_idle({("10.0.0.1", 1): idle(9.0)}, (), 0) == []
    assert longest_idle({}, (), 5) == []
