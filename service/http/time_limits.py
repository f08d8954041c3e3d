"""The time limits of one connection, checked once a second."""

from __future__ import annotations

from ..config.limits import ConnectionLimits
from ..telemetry.rejections import RejectionReason
from .response_bytes import ProtocolError

# Seconds over which the rate of a body is measured; shorter pauses of a client or its network do not count.
RATE_SECONDS = 10.0


class TimeLimits:
    """Measures the time since the connection's state began, and the rate of a body.

    Attributes:
        since: when the state began, or when the server last did not read.
    """

    __slots__ = ("_limits", "_rate_bytes", "_rate_since", "_unread_since", "since")

    def __init__(self, limits: ConnectionLimits, now: float) -> None:
        self._limits = limits
        self.since = now
        self._rate_since = now
        self._rate_bytes = 0
        self._unread_since: float | None = None

    def waited(self, now: float) -> float:
        return now - self.since

    def check_head(self, now: float) -> None:
        """
        Raises:
            ProtocolError: the head has not arrived in time.
        """
        if now - self.since > self._limits.head_timeout:
            raise ProtocolError(408, RejectionReason.SLOW_HEAD, "the request's head took too long to arrive")

    def check_body(self, now: float, received: int) -> None:
        """Check a body of which `received` bytes, counted from any start, have arrived.

        Raises:
            ProtocolError: the body has not arrived in time, or arrives too slowly.
        """
        limits = self._limits
        if now - self.since > limits.body_timeout:
            raise ProtocolError(408, RejectionReason.SLOW_BODY, "the request's body took too long to arrive")
        if self._rate_since < self.since:  # of an earlier body
            self._rate_since, self._rate_bytes = now, received
            return
        seconds = now - self._rate_since
        if seconds < RATE_SECONDS:
            return
        if received - self._rate_bytes < seconds * limits.min_body_rate:
            raise ProtocolError(
                408,
                RejectionReason.SLOW_BODY,
                f"the request's body arrives at less than {limits.min_body_rate} bytes a second",
            )
        self._rate_since, self._rate_bytes = now, received

    def is_slow_reader(self, now: float, unsent: int) -> bool:
        """True if the client has not read all of its responses for too long."""
        if not unsent:
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now
        else:
            return now - self._unread_since > self._limits.write_timeout
        return False
