"""Counts the bytes that a process holds for its clients, and shares them between the clients."""

from .budget import Account, ClientBudget, Peer

__all__ = ["Account", "ClientBudget", "Peer"]
