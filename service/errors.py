"""The exceptions of the server, independent of HTTP and gRPC.

    ConvserveError
    ├── InvalidInput            the request cannot be understood
    │   ├── InvalidImage        an image cannot be decoded
    │   ├── NotAClassifier      classes were requested of a model that returns feature maps
    │   └── UnsupportedContent  the media type or encoding is not supported
    ├── PayloadTooLarge         the request has too many bytes or images
    ├── ModelNotFound           there is no such model or version
    ├── ModelNotReady           the model failed to load, or it is being unloaded
    ├── Unauthenticated         the API key is missing or unknown
    ├── Forbidden               the API key lacks the scope
    ├── Overloaded              the model has no capacity for the request
    │   ├── RateLimited         the API key has exceeded its rate
    │   └── BudgetExceeded      the server holds too many bytes for its clients
    ├── DeadlineExceeded        the deadline passed before the result was ready
    ├── InferenceFailed         the engine failed; the cause is logged and not sent
    ├── InvalidModel            a version on disk must not be served
    ├── NothingToServe          no version could be loaded
    ├── ConfigurationError      a setting is invalid, or cannot be applied on this machine
    └── RemoteServerError       a server contacted by the command line failed

Each protocol maps these to its own codes in one table, `protocols/shared/status_codes.py`.
"""

from __future__ import annotations


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
    """The engine failed on a batch. The message is generic; the cause is logged."""


class InvalidModel(ConvserveError):
    """A version on disk is damaged, incomplete, or fails its golden test."""


class NothingToServe(ConvserveError):
    """No version of any model could be loaded."""


class ConfigurationError(ConvserveError):
    """A setting is invalid, or cannot be applied on this machine."""


class RemoteServerError(ConvserveError):
    """A server that the command line contacted is unreachable, or returned an error."""
