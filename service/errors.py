"""The exceptions of the server, independent of HTTP and gRPC.

    ConvserveError
    ├── InvalidInput            the request cannot be understood
    │   ├── InvalidImage        an image cannot be decoded
    │   ├── NotAClassifier      classes were requested of a model that returns feature maps
    │   └── UnsupportedContent  the media type or encoding is not supported
    ├── PayloadTooLarge         the request has too many bytes or images
    ├── ModelNotFound           there is no such model or version
    ├── ModelNotReady           the model failed to load, or it is being unloaded
    ├── LoadConflict            too many calls want to load and unload models
    ├── Unauthenticated         the API key is missing or unknown
    ├── Forbidden               the API key lacks the scope
    ├── Overloaded              the model has no capacity for the request
    │   ├── RateLimited         the API key has exceeded its rate
    │   └── BudgetExceeded      the server holds too many bytes for its clients
    ├── DeadlineExceeded        the deadline passed before the result was ready
    ├── InferenceFailed         the engine, or a process, failed; the cause is logged and not sent
    ├── InvalidModel            a version on disk must not be served
    ├── NothingToServe          no version could be loaded
    ├── ConfigurationError      a setting is invalid, or cannot be applied on this machine
    ├── OutputFailed            the result of a command cannot be written
    └── RemoteServerError       a server contacted by the command line failed

Each protocol maps these to its own codes in one table, `protocols/shared/status_codes.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

# The characters of a text, and the elements of a list, that an error message repeats.
MAX_SHOWN_CHARACTERS = 100
MAX_SHOWN_ELEMENTS = 8
# Python does not print longer integers than 4,300 digits.
MAX_SHOWN_BITS = 128


def shown(value: object) -> str:
    """A value of a client as an error message repeats it: quoted if it is text, and cut if it is long."""
    if isinstance(value, str):
        return repr(value) if len(value) <= MAX_SHOWN_CHARACTERS else f"{value[:MAX_SHOWN_CHARACTERS]!r}…"
    if isinstance(value, int) and value.bit_length() > MAX_SHOWN_BITS:
        return f"an integer of more than {MAX_SHOWN_BITS} bits"
    if value is None or isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        elements = [shown(each) for each in value[:MAX_SHOWN_ELEMENTS]]
        return f"[{', '.join([*elements, '…'] if len(value) > MAX_SHOWN_ELEMENTS else elements)}]"
    return f"a value of type {type(value).__name__}"


def shortened(text: str) -> str:
    """A client's text without quotes, cut if it is long."""
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}…"


class ConvserveError(Exception):
    """The base class; `str(error)` is one sentence that may be sent to the client."""


class InvalidInput(ConvserveError):
    """The request cannot be understood."""


class InvalidImage(InvalidInput):
    """An image cannot be decoded within the limits."""


class NotAClassifier(InvalidInput):
    """Classes were requested of a model that returns feature maps."""


class UnsupportedContent(InvalidInput):
    """The media type or encoding of the body is not supported."""


class PayloadTooLarge(ConvserveError):
    """The request has more bytes or images than the limits allow."""


class ModelNotFound(ConvserveError):
    """There is no model, or no version of it, with the requested name."""


class ModelNotReady(ConvserveError):
    """The model failed to load, or it is being unloaded because the server is shutting down."""


class LoadConflict(ConvserveError):
    """Too many calls want to load and unload models."""


class Unauthenticated(ConvserveError):
    """The API key is missing or unknown."""


class Forbidden(ConvserveError):
    """The API key lacks the scope that the request needs."""


class Overloaded(ConvserveError):
    """The model has no capacity for the request; `retry_after` is in seconds."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RateLimited(Overloaded):
    """The API key has exceeded its rate, regardless of the load."""


class BudgetExceeded(Overloaded):
    """The server holds too many bytes for its clients, or for this client."""


class DeadlineExceeded(ConvserveError):
    """The deadline passed before the result was ready."""


class InferenceFailed(ConvserveError):
    """The engine or a process failed on the request. The message is generic; the cause is logged."""


class InvalidModel(ConvserveError):
    """A version on disk is damaged, incomplete, or fails its golden test."""


class NothingToServe(ConvserveError):
    """No version of any model could be loaded."""


class ConfigurationError(ConvserveError):
    """A setting is invalid, or cannot be applied on this machine."""


class OutputFailed(ConvserveError):
    """The result of a command cannot be written, such as to a full disk."""


class RemoteServerError(ConvserveError):
    """A server that the command line contacted is unreachable, or returned an error."""
