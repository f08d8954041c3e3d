"""What a model without room says to everybody who asks it by one URL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...errors import ConvserveError, Overloaded
from ...http.response_bytes import Headers
from ...inference.model import LoadedModel
from ...telemetry.metrics import ServerMetrics
from .request_metrics import RequestMetrics
from .responses import EncodedResponse, error_response

DEADLINE = b"x-request-timeout-ms"


@dataclass(frozen=True, slots=True)
class OverloadResponder:
    """A standing refusal, in the words of the dialect that first refused.

    Args:
        resolve: finds the model that the URL names, or raises.
        seconds: the deadline of a request that names none.
    """

    telemetry: ServerMetrics
    protocol: str
    resolve: Callable[[], LoadedModel]
    seconds: float

    def __call__(self, headers: Headers) -> EncodedResponse | None:
        """The refusal of a request, counted; None where there is room or the request has its own deadline."""
        for name, _ in headers:
            if name == DEADLINE:
                return None
        try:
            model = self.resolve()
            model.admission.check(time_left=self.seconds)
        except Overloaded as overloaded:
            reply = error_response(overloaded)
            with RequestMetrics(self.telemetry, self.protocol, str(reply.status_code)) as tally:
                tally.model = model
                tally.record_error(overloaded, tally.code)
            return reply
        except ConvserveError:  # for the dialect to word
            return None
        return None
