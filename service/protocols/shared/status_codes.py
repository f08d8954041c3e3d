"""Maps domain errors to HTTP and gRPC status codes."""

from __future__ import annotations

from dataclasses import dataclass

from ... import errors


@dataclass(frozen=True, slots=True)
class Status:
    """An HTTP status code and the name of a gRPC status code."""

    http: int
    grpc: str


STATUS_BY_ERROR: dict[type[errors.ConvserveError], Status] = {
    errors.ConvserveError: Status(500, "INTERNAL"),
    errors.InvalidInput: Status(400, "INVALID_ARGUMENT"),
    errors.InvalidImage: Status(400, "INVALID_ARGUMENT"),
    errors.NotAClassifier: Status(400, "INVALID_ARGUMENT"),
    errors.UnsupportedContent: Status(415, "INVALID_ARGUMENT"),
    errors.PayloadTooLarge: Status(413, "RESOURCE_EXHAUSTED"),
    errors.ModelNotFound: Status(404, "NOT_FOUND"),
    errors.ModelNotReady: Status(503, "UNAVAILABLE"),
    errors.LoadConflict: Status(409, "ABORTED"),
    errors.Unauthenticated: Status(401, "UNAUTHENTICATED"),
    errors.Forbidden: Status(403, "PERMISSION_DENIED"),
    errors.Overloaded: Status(429, "RESOURCE_EXHAUSTED"),
    errors.RateLimited: Status(429, "RESOURCE_EXHAUSTED"),
    errors.BudgetExceeded: Status(429, "RESOURCE_EXHAUSTED"),
    errors.DeadlineExceeded: Status(504, "DEADLINE_EXCEEDED"),
    errors.InferenceFailed: Status(500, "INTERNAL"),
    errors.InvalidModel: Status(500, "INTERNAL"),
    errors.NothingToServe: Status(503, "UNAVAILABLE"),
    errors.ConfigurationError: Status(500, "INTERNAL"),
    errors.OutputFailed: Status(500, "INTERNAL"),
    errors.RemoteServerError: Status(502, "UNAVAILABLE"),
}
