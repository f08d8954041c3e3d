"""One budget of bytes for everything that a process holds for its clients.

Every byte that is held for a client, from the first byte of a request to the last unsent byte of its
response, is charged to an account. An account belongs to one request, connection or call, and to a peer: the
client as the server can tell it apart from others. At all times

    budget.held == sum of peer.held == sum of account.held

and closing an account releases all that it holds, exactly once. A charge that does not fit raises
`BudgetExceeded` before the bytes are used.
"""

from __future__ import annotations

import time
from bisect import insort
from collections.abc import Callable, Hashable, Iterator
from typing import NamedTuple
from weakref import WeakValueDictionary

from ..errors import BudgetExceeded, PayloadTooLarge
from .fair_share import FairShare

# Seconds for which a scan of all peers or accounts is valid; a scan takes up to a millisecond.
SCAN_SECONDS = 0.05
# Evicting smaller accounts would not make room.
MIN_EVICTED_BYTES = 16 * 1024

Clock = Callable[[], float]


class Peer:
    """A client, and the accounts of its requests, connections and calls.

    Attributes:
        identity: distinguishes it from other peers.
        held: bytes of all its accounts.
        accounts: its open accounts.
    """

    __slots__ = ("__weakref__", "accounts", "held", "identity")

    def __init__(self, identity: Hashable) -> None:
        self.identity = identity
        self.held = 0
        self.accounts: set[Account] = set()


class Account:
    """The bytes that one request, connection or call holds.

    Attributes:
        peer: the client; it may serve as a key to take turns between clients.
        held: the charged bytes.
        evict: called to make room for others; it has to close the account, or release what it holds. None
            if that is impossible now.
        waiting: its request is complete and waits for its turn. It is not evicted for the peer itself: each
            new request would throw away the next in turn.
    """

    __slots__ = ("_budget", "_opened", "closed", "evict", "held", "peer", "waiting")

    def __init__(self, budget: ClientBudget, peer: Peer, size: int = 0) -> None:
        """`size` is the first charge; if it does not fit, there is no account."""
        self._budget = budget
        self._opened = budget.clock()
        self.peer = peer
        self.held = 0
        self.evict: Callable[[], None] | None = None
        self.waiting = False
        self.closed = False
        if size:
            self.charge(size)
        peer.accounts.add(self)

    @classmethod
    def unlimited(cls) -> Account:
        """An account of a budget of its own, for an application that runs under another server."""
        return ClientBudget(2**63).account(None)

    def charge(self, size: int) -> None:
        """Charge bytes that are about to be held; a closed account charges nothing.

        Raises:
            BudgetExceeded: they do not fit at the moment; nothing is charged.
            PayloadTooLarge: they never fit.
        """
        if self.closed:
            return
        budget, peer = self._budget, self.peer
        if budget.held + size > budget.uncontended and size:  # nothing fits even beyond a peer's share
            budget.make_room(self, size)
        budget.held += size
        peer.held += size
        self.held += size

    def release(self, size: int) -> None:
        """Stop counting bytes that are not held any more; at most those that the account holds."""
        size = min(size, self.held)
        self.held -= size
        self.peer.held -= size
        self._budget.held -= size

    def close(self) -> None:
        """Release everything. Later charges have no effect."""
        if not self.closed:
            self.closed = True
            self.release(self.held)
            self.peer.accounts.discard(self)
            self.evict = None

    def wait(self, evict: Callable[[], None]) -> None:
        """The complete request waits for its turn; until `begin`, others may have it evicted."""
        self.evict, self.waiting = evict, True

    def begin(self) -> None:
        """Work on the request begins; if it waited, it is not evicted any more."""
        if self.waiting:
            self.evict, self.waiting = None, False

    def identify(self, identity: Hashable) -> None:
        """Move the account and what it holds to another peer, such as that of an API key."""
        if self.closed:
            return
        self.peer.accounts.discard(self)
        self.peer.held -= self.held
        self.peer = self._budget.peer(identity)
        self.peer.held += self.held
        self.peer.accounts.add(self)

    def byte_seconds(self, now: float) -> float:
        """The cost so far: a stalled upload and a slow reader cost more than a fast one of the same size."""
        return self.held * (now - self._opened)


class _Refusal(NamedTuple):
    """A charge for which nothing could be evicted; others that could evict even less need no scan.

    Attributes:
        until: the end of its validity.
        identity, peer_held: of the peer, and what it held.
        cost: what the account had cost, in byte-seconds.
    """

    until: float
    identity: Hashable
    peer_held: int
    cost: float

    def covers(self, newcomer: Account, now: float) -> bool:
        """True if all accounts that the newcomer may evict were also candidates of the refused charge."""
        if now >= self.until or newcomer.byte_seconds(now) < self.cost:
            return False
        peer = newcomer.peer
        if peer.held == self.peer_held:
            # The accounts of a peer that holds as much were no candidates of the other.
            return peer.identity == self.identity or peer.held < MIN_EVICTED_BYTES
        return peer.held > self.peer_held


class ClientBudget:
    """The account of the whole process.

    A charge fits while the budget is not contended. Beyond that, a peer may hold an equal share, so a single
    peer still gets nearly all of it; and the last part is reserved for peers that hold little. Before a
    charge is refused, the accounts that have cost the most are evicted: uploads that arrive slowly, responses
    that are not read, and requests for which no work has begun.

    Attributes:
        limit: the maximum number of held bytes.
        held: bytes held now.
        uncontended: bytes up to which a charge needs no further checks.
    """

    def __init__(self, limit: int, *, clock: Clock = time.monotonic) -> None:
        self.limit = limit
        self.held = 0
        self._share = FairShare(limit, reserved=-(-limit // 8))
        self.uncontended = self._share.uncontended
        self.clock = clock
        self._peers: WeakValueDictionary[Hashable, Peer] = WeakValueDictionary()
        self._large_peers = 0
        self._counted_until = 0.0
        self._refusal = _Refusal(0.0, None, 0, 0.0)

    def peer(self, identity: Hashable) -> Peer:
        """The peer of this identity; it exists while somebody refers to it."""
        peer = self._peers.get(identity)
        if peer is None:
            peer = self._peers[identity] = Peer(identity)
        return peer

    def account(self, identity: Hashable) -> Account:
        """A new account of the peer of this identity."""
        return Account(self, self.peer(identity))

    def peers(self) -> Iterator[Peer]:
        yield from list(self._peers.values())

    def make_room(self, account: Account, size: int) -> None:
        """Return if `size` more bytes fit, after evicting other accounts if necessary.

        Raises:
            BudgetExceeded, PayloadTooLarge: they do not fit.
        """
        if account.held + size > self._share.unreserved:
            raise PayloadTooLarge(
                f"the request needs {account.held + size:,} bytes; the server holds at most "
                f"{self._share.unreserved:,} for one request (CONVSERVE_CLIENT_BUDGET_BYTES)"
            )
        candidates: list[Account] | None = None
        known = False
        while not self._fits(account.peer, size):
            if candidates is None:  # once, as thousands may have to be evicted
                known = self._refusal.covers(account, self.clock())
                candidates = [] if known else self._candidates(account)
            if account.closed or known or not self._evict(account, candidates):
                raise BudgetExceeded(
                    "the server holds too many bytes for its clients (CONVSERVE_CLIENT_BUDGET_BYTES); "
                    "try again later",
                    retry_after=1.0,
                )

    def _fits(self, peer: Peer, size: int) -> bool:
        return self._share.fits(self.held, peer.held, size, lambda: self._sharers(peer))

    def _sharers(self, peer: Peer) -> int:
        """The number of peers that hold more than a little, this one included."""
        now = self.clock()
        if now >= self._counted_until:
            self._large_peers = sum(1 for each in self._peers.values() if each.held > self._share.little)
            self._counted_until = now + SCAN_SECONDS
        return self._large_peers + (peer.held <= self._share.little)

    def _candidates(self, newcomer: Account) -> list[Account]:
        """The accounts that may be evicted for the newcomer, the costliest last."""
        now = self.clock()
        candidates = [
            account
            for peer in self._peers.values()
            if peer is newcomer.peer or peer.held > newcomer.peer.held
            for account in peer.accounts
            if account.evict is not None
            and account.held >= MIN_EVICTED_BYTES
            and _may_lose(account, newcomer)
        ]
        return sorted(candidates, key=lambda account: self._loss(account, now))

    def _loss(self, account: Account, now: float) -> tuple[bool, float]:
        """The order of eviction: a peer that holds little loses after all that hold much."""
        return account.peer.held > self._share.little, account.byte_seconds(now)

    def _evict(self, newcomer: Account, candidates: list[Account]) -> bool:
        """Evict the account that has cost the most; False if there is none to evict."""
        now = self.clock()
        while candidates:
            costliest = candidates.pop()
            held, evict = costliest.held, costliest.evict
            # An earlier eviction may have changed what the account or its peer holds.
            if evict is None or held < MIN_EVICTED_BYTES or not _may_lose(costliest, newcomer):
                continue
            if costliest.peer.held <= self._share.little and candidates:
                loss = self._loss(costliest, now)
                if loss < self._loss(candidates[-1], now):  # its peer has become one that holds little
                    insort(candidates, costliest, key=lambda account: self._loss(account, now))
                    continue
            if costliest.byte_seconds(now) <= newcomer.byte_seconds(now):
                break
            costliest.evict = None
            evict()
            return costliest.held < held
        peer = newcomer.peer
        self._refusal = _Refusal(now + SCAN_SECONDS, peer.identity, peer.held, newcomer.byte_seconds(now))
        return False


def _may_lose(account: Account, newcomer: Account) -> bool:
    """True if the account is of the newcomer's own peer, or of one that holds more."""
    if account.peer is newcomer.peer:
        return account is not newcomer and not account.waiting
    return account.peer.held > newcomer.peer.held
