"""A word from the connection to what answers on it: an answer that is whole can leave at once."""

from __future__ import annotations

from collections.abc import Callable

from .response_bytes import Headers

# In a request's scope: writes an answer of this status, with these headers and body, and says whether it did.
AT_ONCE = "convserve.at_once"
AtOnce = Callable[[int, Headers, bytes], bool]
