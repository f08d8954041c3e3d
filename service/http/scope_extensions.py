"""Keys that the application sets in the ASGI scope for the protocol layer."""

from __future__ import annotations

# Allows the connection to cancel the task, with the message CLIENT_DISCONNECTED, on a disconnect.
CANCELLABLE = "convserve.cancellable"
CLIENT_DISCONNECTED = "the client disconnected"
# An overload_cache.Responder, which rejects later requests to the same URL.
OVERLOAD_RESPONDER = "convserve.overload_responder"
