"""What is counted of one request for inference, by whatever protocol it came."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Self

from ...errors import ConvserveError, DeadlineExceeded, ModelNotReady, Overloaded
from ...inference.model import LoadedModel
from ...inference.timings import Timings
from ...telemetry.metrics import ServerMetrics
from ...telemetry.request_context import RequestContext, current

_REASONS = {Overloaded: "overloaded", DeadlineExceeded: "deadline", ModelNotReady: "not_ready"}


class RequestMetrics:
    """What is known of a request while it is answered; counted when the block ends, however it ends.

    Attributes:
        model: what was asked, from the moment its name is resolved.
        timings: where the time went, once there is an answer.
        deadline: in the event loop's time.
        code: what the request is answered with, in its protocol's own words.
    """

    __slots__ = ("_protocol", "_started", "_telemetry", "code", "deadline", "model", "timings")

    def __init__(self, telemetry: ServerMetrics, protocol: str, code: str) -> None:
        """`code` is what an unforeseen error is answered with."""
        self._telemetry = telemetry
        self._protocol = protocol
        self.code = code
        self.model: LoadedModel | None = None
        self.timings: Timings | None = None
        self.deadline = float("inf")

    def expire_in(self, seconds: float) -> None:
        """Set the deadline to that long from now, and see to it that there is hope to meet it.

        Raises:
            Overloaded: the model has too much to do already. Nothing of the request has been read yet.
        """
        self.deadline = asyncio.get_running_loop().time() + seconds
        if self.model is not None:
            self.model.admission.check(time_left=seconds)

    def refuse(self, error: ConvserveError, code: str) -> None:
        """Note that the answer is an error."""
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
        """A name that no model bears never becomes a label: such requests are counted under the empty one."""
        seconds = time.perf_counter() - self._started
        telemetry = self._telemetry
        telemetry.inflight.dec()
        name = version = ""
        if (model := self.model) is not None:
            name, version = model.name, model.version
            if (spent := self.timings) is None:
                model.statistics.failed(seconds)
            else:
                model.statistics.answered(
                    seconds, decode=spent.decode, queue=spent.queue, infer=spent.compute
                )
        telemetry.answered(name, version, self._protocol, self.code, seconds)
        if (account := current.get()) is not None:
            self._tell(account, name, version)

    def _tell(self, account: RequestContext, name: str, version: str) -> None:
        log_fields = {"protocol": self._protocol, "code": self.code}
        if name:
            log_fields |= {"model": name, "version": version}
        spent = self.timings
        stages = dict(spent.stages()) if spent else {}
        account.note(log_fields, stages)
