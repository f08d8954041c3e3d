"""The states of an HTTP connection."""

from __future__ import annotations

from enum import Enum, auto


class State(Enum):
    """The states of a connection, by the input that it expects."""

    IDLE = auto()  # no byte of the next request has arrived; an earlier one may be in progress
    HEAD = auto()  # the head of a request is arriving
    BODY = auto()  # the body of a request is arriving and goes to the application
    DISCARDING = auto()  # the response is sent; the rest of the body is discarded, the connection stays open
    LINGERING = auto()  # as DISCARDING, but the connection closes after the body
    LAST_RESPONSE = auto()  # input is ignored; the connection closes after the response in progress
    REJECTED = auto()  # an error response is written; input is ignored until the client closes
