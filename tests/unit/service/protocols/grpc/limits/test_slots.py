"""Slots for calls, shared between clients."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import Overloaded
from service.protocols.grpc.limits.slots import Slots

LIMIT = 64


def take_all(slots: Slots, client: str) -> int:
    """The number of slots that a client gets."""
    for taken in range(LIMIT + 1):
        try:
            slots.take(client)
        except Overloaded:
            return taken
    raise AssertionError("there are more slots than the limit")


def test_one_client_leaves_slots_for_others() -> None:
    slots = Slots(LIMIT, "calls")
    assert take_all(slots, "greedy") == LIMIT * 7 // 8
    slots.take("polite")


def test_shares_bind_under_contention() -> None:
    slots = Slots(LIMIT, "calls")
    for _ in range(LIMIT // 4):
        slots.take("other")
    assert take_all(slots, "greedy") == LIMIT * 7 // 8 // 2


def test_many_clients_get_all_slots() -> None:
    slots = Slots(LIMIT, "calls")
    for client in range(LIMIT):
        slots.take(client)
    with pytest.raises(Overloaded, match="too many calls are in progress"):
        slots.take("one more")


@given(st.lists(st.integers(0, 3)))
def test_released_slots_are_free_again(clients: list[int]) -> None:
    slots = Slots(LIMIT, "calls")
    taken = []
    for client in clients:
        try:
            slots.take(client)
        except Overloaded:
            continue
        taken.append(client)
    assert slots.taken == len(taken)
    for client in taken:
        slots.release(client)
    assert slots.taken == 0
    assert take_all(slots, "next") == LIMIT * 7 // 8
