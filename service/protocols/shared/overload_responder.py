"""Rejects requests for one URL while the model's queue is full."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...errors import ConvserveError, Overloaded
from ...http.response_bytes import Headers
from ...inference.model import LoadedModel
from ...telemetry.metrics import ServerMetrics
from .request_metrics import RequestMetrics
from .responses import EncodedResponse, error_response

DEADLINE_HEADER = b"x-request-timeout-ms"


@dataclass(frozen=True, slots=True)
class OverloadResponder:
    """Rejects further requests for a URL in the protocol layer, after the first was rejected with 429.

    Args:
        resolve: finds the model that the URL names, or raises.
        default_timeout: seconds, for a request without a deadline of its own.
    """

    telemetry: ServerMetrics
    protocol: str
    resolve: Callable[[], LoadedModel]
    default_timeout: float

    def __call__(self, headers: Headers) -> EncodedResponse | None:
        """The rejection, already counted; None if the queue has room or the request sets its own deadline."""
        for name, _ in headers:
            if name == DEADLINE_HEADER:
                return None
        try:
            model = self.resolve()
            model.admission.check(time_left=self.default_timeout)
        except Overloaded as overloaded:
            response = error_response(overloaded)
            with RequestMetrics(self.telemetry, self.protocol, str(response.status_code)) as metrics:
                metrics.bind(model)
                metrics.record_error(overloaded, metrics.code)
            return response
        except ConvserveError:  # the dialect responds to other errors
            return None
        return None
