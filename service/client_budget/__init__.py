"""Counts the bytes that a process holds for its clients, and shares them between the clients."""

from .budget import Account, ClientBudget, Peer
from .fair_share import FairShare

__all__ = ["Account", "ClientBudget", "FairShare", "Peer"]
