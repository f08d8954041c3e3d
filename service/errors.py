"""Everything that can go wrong, without a word of HTTP or gRPC.

    ConvserveError
    ├── InvalidInput            what the caller sent cannot be understood
    │   ├── InvalidImage        … as a picture
    │   ├── NotAClassifier      classes are asked of a model that gives maps
    │   └── UnsupportedContent  … because of the form it came in
    ├── PayloadTooLarge         more bytes or pictures than one request may bring
    ├── ModelNotFound           no such model, or no such version of it
    ├── ModelNotReady           there, but not answering: loading, failed or draining
    ├── Unauthenticated         no API key, or one that nobody has
    ├── Forbidden               an API key that may ask other things, but not this
    ├── Overloaded              the queue is full
    │   └── RateLimited         … or rather: this API key has asked more often than it may
    ├── DeadlineExceeded        the caller's time ran out before the answer was there
    ├── InferenceFailed         the engine raised; the cause is logged, never sent
    ├── InvalidModel            a version on disk that must not be served
    ├── NothingToServe          no version at all could be loaded
    ├── ConfigurationError      a setting that cannot be honoured on this machine
    └── RemoteServerError           another server, asked by the shell command, gave no answer

Each protocol maps these to its own codes in one table, `protocols/shared/status_codes.py`.
"""

from __future__ import annotations


class ConvserveError(Exception):
    """The root of the tree; `str(error)` is one sentence that may be shown to the caller."""


class InvalidInput(ConvserveError):
    """What the caller sent cannot be understood."""


class InvalidImage(InvalidInput):
    """The bytes are not a picture that can be decoded within the limits."""


class NotAClassifier(InvalidInput):
    """Classes are asked of a model that gives maps."""


class UnsupportedContent(InvalidInput):
    """The body has a media type or an encoding that no endpoint takes."""


class PayloadTooLarge(ConvserveError):
    """More bytes or pictures than one request may bring."""


class ModelNotFound(ConvserveError):
    """No model, or no version, of the name that was asked for."""


class ModelNotReady(ConvserveError):
    """The model exists but does not answer now: it failed to load, or the server is draining."""


class Unauthenticated(ConvserveError):
    """The caller gave no API key, or one that is not known here."""


class Forbidden(ConvserveError):
    """The caller's API key is known, and has not the scope for what was asked."""


class Overloaded(ConvserveError):
    """The model's queue is full; `retry_after` is in seconds."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RateLimited(Overloaded):
    """An API key asks more often than it may, however idle the server is."""


class DeadlineExceeded(ConvserveError):
    """The caller's time ran out before the answer was there."""


class InferenceFailed(ConvserveError):
    """The engine raised on a batch. The message is generic; the cause is logged."""


class InvalidModel(ConvserveError):
    """A version on disk that must not be served: broken, incomplete, or answering wrongly."""


class NothingToServe(ConvserveError):
    """No version of any model could be loaded."""


class ConfigurationError(ConvserveError):
    """A setting that cannot be honoured on this machine."""


class RemoteServerError(ConvserveError):
    """The server that `convserve classify --url` asked cannot be reached, or answered with an error."""
