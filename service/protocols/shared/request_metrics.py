"""Records one inference request, of any protocol, in metrics, statistics, the log and traces."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Any, Self

from ...client_budget import Account
from ...errors import ConvserveError, DeadlineExceeded, ModelNotReady, Overloaded
from ...inference.model import LoadedModel
from ...inference.timings import Timings
from ...telemetry import log_fields
from ...telemetry.metrics import ServerMetrics
from ...telemetry.request_context import RequestContext, current

# The protocol of explanations, which are no inferences.
EXPLAIN = "explain"

_REASONS = {Overloaded: "overloaded", DeadlineExceeded: "deadline", ModelNotReady: "not_ready"}


# The event loop cannot wait for any number of seconds.
MAX_SECONDS = 24 * 3600.0


class RequestMetrics:
    """A context manager around one request; it records the request when the block ends.

    Attributes:
        model: the requested model, once its name is resolved.
        timings: the seconds of each stage, once the model has run.
        deadline: in the event loop's time.
        code: the response's status, as the protocol writes it.
        account: the memory that the request holds.
    """

    __slots__ = ("_protocol", "_started", "_telemetry", "account", "code", "deadline", "model", "timings")

    def __init__(
        self, telemetry: ServerMetrics, protocol: str, code: str, account: Account | None = None
    ) -> None:
        """`code` is the status of an internal error; without an account, memory is not limited."""
        self._telemetry = telemetry
        self._protocol = protocol
        self.code = code
        self.account = Account.unlimited() if account is None else account
        self.model: LoadedModel | None = None
        self.timings: Timings | None = None
        self.deadline = float("inf")

    def bind(self, model: LoadedModel) -> None:
        """Let this model answer the request, also if it is not served any more before the request ends."""
        self.model = model
        model.leases.take()

    def expire_in(self, seconds: float) -> None:
        """Set the deadline, and check that the model's queue can meet it.

        Raises:
            Overloaded: the queue is full, or its images take longer than `seconds`.
        """
        self.deadline = asyncio.get_running_loop().time() + min(seconds, MAX_SECONDS)
        if self.model is not None:
            self.model.admission.check(time_left=seconds)

    def record_error(self, error: ConvserveError, code: str) -> None:
        """Set the status to an error's, and count a shed request by its reason."""
        self.code = code
        reason = _REASONS.get(type(error))
        if self.model is not None and reason is not None:
            self.model.metrics.rejected[reason].inc()

    def __enter__(self) -> Self:
        self._started = time.perf_counter()
        self._telemetry.inflight.inc()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Record the request; an unknown model gets the empty name, to limit the number of labels."""
        seconds = time.perf_counter() - self._started
        self._telemetry.inflight.dec()
        name = version = ""
        if (model := self.model) is not None:
            name, version = model.name, model.version
            model.leases.give_back()
            if self.timings is not None:
                self._record_stages(model, self.timings, seconds)
            elif self._protocol != EXPLAIN:
                model.statistics.record_failure(seconds)
        self._telemetry.record_request(name, version, self._protocol, self.code, seconds)
        if (context := current.get()) is not None:
            self._annotate(context, name, version)

    def _record_stages(self, model: LoadedModel, timings: Timings, seconds: float) -> None:
        stages = model.metrics.stages
        for stage, spent in timings.stages():
            if spent or stage != "decode":  # tensors are not decoded
                stages[stage].observe(spent)
        model.statistics.record_success(
            seconds, decode=timings.decode, queue=timings.queue, compute=timings.compute
        )

    def _annotate(self, context: RequestContext, name: str, version: str) -> None:
        fields: dict[str, Any] = {log_fields.PROTOCOL: self._protocol, log_fields.CODE: self.code}
        if name:
            fields |= {log_fields.MODEL: name, log_fields.VERSION: version}
        context.record(fields, dict(self.timings.stages()) if self.timings else {})
