from __future__ import annotations

import time

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from service.client_budget import Account, ClientBudget
from service.errors import BudgetExceeded, PayloadTooLarge
from tests.support.manual_clock import ManualClock

MEBIBYTE = 1024 * 1024
LIMIT = 64 * MEBIBYTE


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def budget(clock: ManualClock) -> ClientBudget:
    return ClientBudget(LIMIT, clock=clock)


def hold(budget: ClientBudget, identity: str, size: int) -> Account:
    account = budget.account(identity)
    account.charge(size)
    return account


def evictable(budget: ClientBudget, identity: str, size: int) -> Account:
    account = hold(budget, identity, size)
    account.evict = account.close
    return account


def test_single_peer_may_hold_all_but_the_reserve(budget: ClientBudget) -> None:
    for _ in range(7):
        hold(budget, "a", LIMIT // 8)
    with pytest.raises(BudgetExceeded, match="CONVSERVE_CLIENT_BUDGET_BYTES"):
        hold(budget, "a", 1)


def test_peer_that_holds_little_uses_the_reserve(budget: ClientBudget) -> None:
    accounts = [hold(budget, "a", LIMIT // 8) for _ in range(7)]
    assert hold(budget, "b", MEBIBYTE).held == MEBIBYTE
    with pytest.raises(BudgetExceeded):
        hold(budget, "b", 1)
    assert budget.held == sum(account.held for account in accounts) + MEBIBYTE


def test_peers_hold_equal_shares_under_contention(budget: ClientBudget, clock: ManualClock) -> None:
    greedy = [hold(budget, "greedy", LIMIT // 8) for _ in range(6)]
    clock.advance(1)
    with pytest.raises(BudgetExceeded):
        hold(budget, "other", LIMIT // 8 + LIMIT // 4)
    assert hold(budget, "other", LIMIT // 8).held
    clock.advance(1)
    greedy.pop().close()
    with pytest.raises(BudgetExceeded):  # it still holds more than half
        hold(budget, "greedy", LIMIT // 8)
    assert hold(budget, "other", LIMIT // 8).held


def test_charge_that_can_never_fit_is_too_large(budget: ClientBudget) -> None:
    account = hold(budget, "a", MEBIBYTE)
    with pytest.raises(PayloadTooLarge, match="67,108,864 bytes"):
        account.charge(LIMIT - MEBIBYTE)
    assert budget.held == MEBIBYTE


def test_rejected_charge_changes_nothing(budget: ClientBudget) -> None:
    hold(budget, "a", LIMIT // 2)
    account = hold(budget, "a", LIMIT // 4)
    with pytest.raises(BudgetExceeded):
        account.charge(LIMIT // 2)
    assert account.held == LIMIT // 4
    assert budget.held == LIMIT // 2 + LIMIT // 4


def test_slowest_large_account_is_evicted_first(budget: ClientBudget, clock: ManualClock) -> None:
    slow = evictable(budget, "slow", 20 * MEBIBYTE)
    clock.advance(10)
    fast = evictable(budget, "fast", 30 * MEBIBYTE)
    clock.advance(1)
    newcomer = hold(budget, "new", 16 * MEBIBYTE)
    assert slow.closed
    assert not fast.closed
    assert newcomer.held == 16 * MEBIBYTE


def test_account_of_the_same_peer_is_evicted(budget: ClientBudget, clock: ManualClock) -> None:
    stalled = [evictable(budget, "a", 8 * MEBIBYTE) for _ in range(7)]
    clock.advance(5)
    hold(budget, "a", 2 * MEBIBYTE)
    assert sum(account.closed for account in stalled) == 1


def test_smaller_peer_is_not_evicted_for_a_larger_one(budget: ClientBudget, clock: ManualClock) -> None:
    small = evictable(budget, "small", 10 * MEBIBYTE)
    hold(budget, "large", 26 * MEBIBYTE)
    clock.advance(10)
    with pytest.raises(BudgetExceeded):
        hold(budget, "large", 26 * MEBIBYTE)
    assert not small.closed


def test_peer_that_holds_little_is_evicted_last(budget: ClientBudget, clock: ManualClock) -> None:
    patient = evictable(budget, "patient", MEBIBYTE)
    clock.advance(1000)
    large = evictable(budget, "large", LIMIT * 3 // 4)
    clock.advance(1)
    assert patient.byte_seconds(clock()) > large.byte_seconds(clock())
    hold(budget, "new", MEBIBYTE // 2)
    hold(budget, "new", 7 * MEBIBYTE)
    assert large.closed
    assert not patient.closed


def test_waiting_request_is_evicted_only_for_a_peer_that_holds_less(
    budget: ClientBudget, clock: ManualClock
) -> None:
    waiting = [hold(budget, "a", LIMIT // 8) for _ in range(6)]
    for account in waiting:
        account.wait(account.close)
    clock.advance(1)
    with pytest.raises(BudgetExceeded):
        hold(budget, "a", LIMIT // 4)
    assert not any(account.closed for account in waiting)
    waiting[0].begin()
    hold(budget, "b", LIMIT // 4)
    assert [account.closed for account in waiting].count(True) == 1
    assert not waiting[0].closed


def test_account_that_is_computing_is_not_evicted(budget: ClientBudget, clock: ManualClock) -> None:
    computing = hold(budget, "a", LIMIT * 7 // 8)
    clock.advance(100)
    with pytest.raises(BudgetExceeded):
        hold(budget, "b", 2 * MEBIBYTE)
    assert not computing.closed


def test_failed_eviction_is_not_repeated_at_once(budget: ClientBudget, clock: ManualClock) -> None:
    hold(budget, "a", LIMIT * 7 // 8)
    with pytest.raises(BudgetExceeded):
        hold(budget, "b", 2 * MEBIBYTE)
    late = next(iter(budget.peer("a").accounts))
    late.evict = late.close
    clock.advance(0.01)
    with pytest.raises(BudgetExceeded):
        hold(budget, "b", 2 * MEBIBYTE)
    clock.advance(1)
    assert hold(budget, "b", 2 * MEBIBYTE).held


def test_failed_eviction_delays_no_peer_that_holds_less(budget: ClientBudget, clock: ManualClock) -> None:
    hold(budget, "large", LIMIT // 2)
    stalled = evictable(budget, "slow", LIMIT // 4)
    clock.advance(1)
    for _ in range(10):  # each failure is one more that the honest client could suffer from
        with pytest.raises(BudgetExceeded):
            hold(budget, "large", LIMIT // 4)
        clock.advance(0.01)
    assert not stalled.closed
    assert hold(budget, "honest", LIMIT // 4).held
    assert stalled.closed


def test_refusals_do_not_prolong_each_other(budget: ClientBudget, clock: ManualClock) -> None:
    hold(budget, "a", LIMIT * 7 // 8)
    (late,) = budget.peer("a").accounts
    for _ in range(5):
        with pytest.raises(BudgetExceeded):
            hold(budget, "b", 2 * MEBIBYTE)
        late.evict = late.close
        clock.advance(0.011)
    assert hold(budget, "b", 2 * MEBIBYTE).held


def test_account_of_a_peer_above_its_share_is_opened(budget: ClientBudget, clock: ManualClock) -> None:
    """A connection or a call that holds nothing yet; its charges are rejected."""
    large = evictable(budget, "a", LIMIT // 2)
    hold(budget, "b", LIMIT // 4)
    clock.advance(1)
    account = budget.account("a")
    account.charge(0)
    assert not large.closed
    large.evict = None
    with pytest.raises(BudgetExceeded):
        account.charge(1)


@pytest.mark.measures
def test_thousands_of_accounts_are_evicted_for_one_charge(budget: ClientBudget, clock: ManualClock) -> None:
    accounts = [evictable(budget, "a", LIMIT // 3000) for _ in range(2400)]
    clock.advance(1)
    started = time.process_time()
    hold(budget, "a", LIMIT // 2)
    assert time.process_time() - started < 0.1
    assert 1200 < sum(account.closed for account in accounts) < 1400


def test_account_moves_with_what_it_holds(budget: ClientBudget) -> None:
    account = hold(budget, "address", 100)
    account.identify("key")
    assert budget.peer("address").held == 0
    assert account.peer.held == account.held == budget.held == 100


def test_closed_account_charges_nothing(budget: ClientBudget) -> None:
    account = hold(budget, "a", 100)
    account.close()
    account.close()
    account.charge(5)
    account.identify("b")
    assert budget.held == 0


def test_peer_without_accounts_is_forgotten(budget: ClientBudget) -> None:
    account = hold(budget, "a", 1)
    account.close()
    del account
    assert not list(budget.peers())


def test_unlimited_account_takes_any_size() -> None:
    account = Account.unlimited()
    account.charge(2**50)
    assert account.held == 2**50


class Ledger(RuleBasedStateMachine):
    """Checks after every step that the sums agree and that nothing is released twice."""

    accounts = Bundle[Account]("accounts")

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.budget = ClientBudget(1_000_000, clock=self.clock)
        self.held: dict[Account, int] = {}

    @rule(target=accounts, identity=st.sampled_from("abc"), can_evict=st.booleans())
    def open(self, identity: str, can_evict: bool) -> Account:
        account = self.budget.account(identity)
        self.held[account] = 0
        if can_evict:
            account.evict = lambda: self.close(account)
        return account

    @rule(account=accounts, size=st.integers(0, 600_000))
    def charge(self, account: Account, size: int) -> None:
        try:
            account.charge(size)
        except (BudgetExceeded, PayloadTooLarge):
            return
        if account in self.held:
            self.held[account] += size

    @rule(account=accounts, size=st.integers(0, 600_000))
    def release(self, account: Account, size: int) -> None:
        account.release(size)
        if account in self.held:
            self.held[account] = max(0, self.held[account] - size)

    @rule(account=accounts, identity=st.sampled_from("abcd"))
    def identify(self, account: Account, identity: str) -> None:
        account.identify(identity)

    @rule(account=consumes(accounts))
    def close(self, account: Account) -> None:
        account.close()
        self.held.pop(account, None)

    @rule(seconds=st.floats(0, 10))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def sums_agree(self) -> None:
        assert {account: account.held for account in self.held} == self.held
        total = sum(self.held.values())
        assert self.budget.held == total <= self.budget.limit
        assert sum(peer.held for peer in self.budget.peers()) == total
        for peer in self.budget.peers():
            assert peer.held == sum(account.held for account in peer.accounts)

    def teardown(self) -> None:
        for account in list(self.held):
            account.close()
        assert self.budget.held == 0


TestLedger = Ledger.TestCase
