"""The account of the incomplete messages of a connection."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest

from service.client_budget import ClientBudget
from service.errors import BudgetExceeded, PayloadTooLarge
from service.protocols.grpc.limits.connection import COPIES, Connection
from service.system.tcp_connections import TcpState

MAX_MESSAGE = 1_000_000
BUDGET = 16 * MAX_MESSAGE


def call() -> Any:
    return mock.Mock(client="127.0.0.1")


def received(size: int) -> TcpState:
    return TcpState(size, 0.0)


@pytest.fixture
def budget() -> ClientBudget:
    return ClientBudget(BUDGET)


@pytest.fixture
def connection() -> Connection:
    return Connection("ipv4:127.0.0.1:5000")


def test_bytes_are_charged_as_they_arrive(budget: ClientBudget, connection: Connection) -> None:
    for size in (100_000, 300_000, 900_000):
        connection.charge(budget, received(size), [call()], MAX_MESSAGE)
        assert budget.held == COPIES * size
    connection.settle(received(900_000))
    assert budget.held == 0


def test_complete_messages_are_released(budget: ClientBudget, connection: Connection) -> None:
    connection.charge(budget, received(500_000), [call()], MAX_MESSAGE)
    connection.deliver(800_000)  # 300,000 bytes of it have arrived since
    assert budget.held == 0
    connection.charge(budget, received(1_000_000), [call()], MAX_MESSAGE)
    assert 0.98 * COPIES * 200_000 < budget.held <= COPIES * 200_000


def test_earlier_bytes_of_an_old_connection_are_not_charged(
    budget: ClientBudget, connection: Connection
) -> None:
    connection.charge(budget, received(10**9), [call()], MAX_MESSAGE)
    assert budget.held == 0
    connection.charge(budget, received(10**9 + 1000), [call()], MAX_MESSAGE)
    assert budget.held == COPIES * 1000


def test_messages_that_were_complete_in_time_are_not_charged_later(
    budget: ClientBudget, connection: Connection
) -> None:
    for number in range(1, 101):
        connection.deliver(MAX_MESSAGE // 100)
        connection.charge(budget, received(number * MAX_MESSAGE // 100 + 100_000), [call()], MAX_MESSAGE)
        assert 0 < budget.held <= COPIES * 100_000
        connection.settle(received(number * MAX_MESSAGE // 100))


def test_abandoned_messages_are_not_charged_later(budget: ClientBudget, connection: Connection) -> None:
    connection.abandon()
    connection.charge(budget, received(MAX_MESSAGE), [call()], MAX_MESSAGE)
    assert budget.held == 0
    connection.charge(budget, received(MAX_MESSAGE + 1000), [call()], MAX_MESSAGE)
    assert budget.held == COPIES * 1000
    connection.settle(received(2 * MAX_MESSAGE))
    connection.charge(budget, received(2 * MAX_MESSAGE + 500), [call()], MAX_MESSAGE)
    assert budget.held == COPIES * 500


def test_a_whole_message_is_charged_without_a_measurement(
    budget: ClientBudget, connection: Connection
) -> None:
    connection.charge(budget, None, [call(), call()], MAX_MESSAGE)
    assert budget.held == 2 * COPIES * MAX_MESSAGE
    connection.charge(budget, None, [call()], MAX_MESSAGE)
    assert budget.held == COPIES * MAX_MESSAGE


def test_connection_holds_two_messages_at_most(budget: ClientBudget, connection: Connection) -> None:
    connection.charge(budget, received(2 * MAX_MESSAGE), [call()], MAX_MESSAGE)
    with pytest.raises(PayloadTooLarge, match="more than 2,000,000 bytes of incomplete messages"):
        connection.charge(budget, received(2 * MAX_MESSAGE + 1), [call()], MAX_MESSAGE)


def test_calls_are_ended_for_others(budget: ClientBudget, connection: Connection) -> None:
    incomplete = call()
    connection.charge(budget, received(2 * MAX_MESSAGE), [incomplete], MAX_MESSAGE)
    (account,) = (account for peer in budget.peers() for account in peer.accounts)
    assert account.evict is not None
    account.evict()
    ((error,), _) = incomplete.fail.call_args
    assert isinstance(error, BudgetExceeded)
    assert budget.held == 0
