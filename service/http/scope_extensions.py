"""Keys of the ASGI scope through which the protocol layer and the application cooperate."""

from __future__ import annotations

# Allows the connection to cancel the task, with the message CLIENT_DISCONNECTED, on a disconnect.
CANCELLABLE = "convserve.cancellable"
CLIENT_DISCONNECTED = "the client disconnected"
# An overload_cache.Responder, which rejects later requests to the same URL.
OVERLOAD_RESPONDER = "convserve.overload_responder"
# Set by the protocol layer if it has rejected the request while the application ran: the response's status.
REJECTED = "convserve.rejected"
# Set by the protocol layer: the client_budget.Account of the request. It is closed when its task ends.
ACCOUNT = "convserve.account"
