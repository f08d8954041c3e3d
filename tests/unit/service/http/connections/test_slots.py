"""The slots of connections, without connections."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.client_budget.identity import TrustedProxies
from service.config.limits import MIN_SHARE, ConnectionLimits
from service.config.settings import Settings
from service.http.connections.slots import ConnectionSlots, Slot
from service.telemetry.rejections import RejectionCounters
from tests.unit.service.http.test_protocol import Counter as Rejections

SIZE = 3
NO_SOCKET = -1


class Crowd:
    """Connections that record how they are closed."""

    def __init__(self, proxies: str | None = None, **limits: Any) -> None:
        self.rejections = Rejections()
        self.slots = ConnectionSlots(
            ConnectionLimits.of(Settings(max_connections=SIZE, **limits)),
            RejectionCounters(self.rejections),
            TrustedProxies.parse(proxies),
        )
        self.closed: dict[Slot, bool] = {}  # whether each was closed in the ordinary way

    def arrive(
        self, address: str | None = "192.0.2.1", *, admin: bool = False, fileno: int = NO_SOCKET
    ) -> Slot:
        slot = Slot(self.slots, admin=admin)
        slot.close = lambda ordinary: self.closed.update({slot: ordinary})
        assert slot.take(fileno, address) is (slot.partition is not self.slots.closing)
        return slot

    def busy(self) -> Slot:
        slot = self.arrive()
        slot.begin_request()
        return slot


@contextmanager
def unread(data: bytes) -> Iterator[socket.socket]:
    """A socket that has received these bytes."""
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        theirs.sendall(data)
        yield ours


def test_longest_idle_is_closed() -> None:
    crowd = Crowd()
    first, second, third = [crowd.arrive() for _ in range(SIZE)]
    first.begin_request()
    second.begin_request()
    second.end_request()
    for expected in (third, second):
        newcomer = crowd.arrive()
        assert not newcomer.reserved
        assert crowd.closed.pop(expected)
        newcomer.begin_request()
    assert crowd.closed == {}
    assert crowd.rejections.counts == {"evicted": 2}


def test_immediate_answer_counts_as_a_request() -> None:
    crowd = Crowd()
    first, second, _ = [crowd.arrive() for _ in range(SIZE)]
    first.answered_at_once()
    crowd.arrive()
    assert list(crowd.closed) == [second]


def test_connection_whose_request_has_arrived_is_not_closed() -> None:
    crowd = Crowd()
    with unread(b"GET / HTTP/1.1") as arrived, unread(b"") as silent:
        waiting = crowd.arrive(fileno=arrived.fileno())
        idle = crowd.arrive(fileno=silent.fileno())
        crowd.busy()
        crowd.arrive()
        assert list(crowd.closed) == [idle]
        assert waiting.partition is crowd.slots.ordinary


def test_reserved_slot_is_exchanged_for_one_that_is_free() -> None:
    crowd = Crowd()
    working = [crowd.busy() for _ in range(SIZE)]
    newcomer = crowd.arrive()
    reserved = [newcomer.reserved]
    assert not newcomer.leave_reserve()
    working[0].end_request()  # it is idle now, and closed
    assert newcomer.leave_reserve()
    reserved.append(newcomer.reserved)
    assert reserved == [True, False]
    assert list(crowd.closed) == [working[0]]


def test_connection_is_refused_if_no_slot_can_be_freed() -> None:
    crowd = Crowd()
    for _ in range(SIZE + MIN_SHARE):
        assert crowd.busy().partition is not crowd.slots.closing
    refused = crowd.arrive()
    assert refused.partition is crowd.slots.closing
    assert crowd.arrive(admin=True).partition is not crowd.slots.closing
    refused.release()
    assert crowd.slots.closing.taken == 0
    assert crowd.rejections.counts == {"too_many_connections": 1}


def test_sockets_that_close_slowly_are_bounded() -> None:
    crowd = Crowd()
    for _ in range(SIZE + MIN_SHARE + 1):
        crowd.arrive()
    assert list(crowd.closed.values()) == [True] * MIN_SHARE + [False]


@pytest.mark.parametrize(
    ("addresses", "crowded"),
    [
        (["192.0.2.1", "192.0.2.1"], True),
        (["192.0.2.1", "192.0.2.2"], False),
        (["2001:db8::1", "2001:db8::2"], True),
        (["2001:db8::1", "2001:db8:0:1::1"], False),
        (["192.0.2.1", "::ffff:192.0.2.1"], True),
        (["198.51.100.1", "198.51.100.1"], False),  # a trusted proxy
        ([None, None], False),
    ],
)
def test_addresses_are_limited(addresses: list[str | None], crowded: bool) -> None:
    crowd = Crowd("198.51.100.0/24", max_connections_per_address=1)
    first, second = [crowd.arrive(address) for address in addresses]
    assert second.crowded is second.reserved is crowded
    first.release()
    assert second.leave_reserve() or not crowded
    assert not second.reserved


@given(
    st.lists(st.tuples(st.sampled_from(["arrive", "begin", "end", "leave", "release"]), st.integers(0, 63)))
)
def test_counts_are_exact(actions: list[tuple[str, int]]) -> None:
    crowd = Crowd(max_connections_per_address=2)
    slots = crowd.slots
    open_slots: list[Slot] = []
    busy: set[Slot] = set()
    for action, number in actions:
        if action == "arrive":
            open_slots.append(crowd.arrive(f"192.0.2.{number % 3}", admin=number % 5 == 0))
            continue
        if not open_slots:
            continue
        slot = open_slots[number % len(open_slots)]
        if action == "release":
            open_slots.remove(slot)
            busy.discard(slot)
            slot.release()
            slot.release()
        elif slot.partition is slots.closing:
            continue
        elif action == "leave":
            slot.leave_reserve()
            (slot.begin_request if slot in busy else slot.end_request)()
        elif action == "begin":
            busy.add(slot)
            slot.begin_request()
        else:
            busy.discard(slot)
            slot.end_request()
        for partition in {slot.partition for slot in open_slots}:
            members = {slot for slot in open_slots if slot.partition is partition}
            assert partition.taken == len(members)
            if partition is not slots.closing:
                assert set(partition.idle) == members - busy
                assert partition.taken <= partition.size
        counted = Counter(slot.identity for slot in open_slots if slot.partition is slots.ordinary)
        assert all(count <= 2 for identity, count in counted.items() if identity is not None)
    for slot in open_slots:
        slot.release()
    for partition in (slots.ordinary, slots.closing):
        assert (partition.taken, len(partition.idle)) == (0, 0)
    for number in range(3):  # no address is still counted
        assert not crowd.arrive(f"192.0.2.{number}").reserved
