"""Keys of our own in an ASGI scope, between the protocol layer and the application."""

from __future__ import annotations

# Set by an application whose task is to be cancelled, with the message CLIENT_LEFT, on a disconnect.
CANCELLABLE = "convserve.cancellable"
CLIENT_LEFT = "the client disconnected"
# Set by an application to the OverloadResponse that rejects later requests to the same URL.
OVERLOAD_RESPONSE = "convserve.overload_response"
