"""A word from the connection to what answers on it: the client has left, nobody will read the answer."""

from __future__ import annotations

# An application that sets this in a request's scope is cancelled when the client leaves, with this message.
CANCELLABLE = "convserve.cancellable"
CLIENT_LEFT = "the client has left"
