"""Fields of a log line in JSON; docs/reference/log-fields.md is generated from them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

TIME: Final = "time"
LEVEL: Final = "level"
LOGGER: Final = "logger"
MESSAGE: Final = "message"
PROCESS: Final = "process"
TRACE_ID: Final = "trace_id"
SPAN_ID: Final = "span_id"
STATUS: Final = "status"
KEY: Final = "key"
BYTES: Final = "bytes"
MS: Final = "ms"
CLIENT: Final = "client"
PROTOCOL: Final = "protocol"
CODE: Final = "code"
MODEL: Final = "model"
VERSION: Final = "version"
DECODE_MS: Final = "decode_ms"
QUEUE_MS: Final = "queue_ms"
COMPUTE_MS: Final = "compute_ms"
MESSAGES: Final = "messages"
FAILED: Final = "failed"
EXCEPTION: Final = "exception"


class Lines(Enum):
    """Log lines that carry a field."""

    ALL = "every line"
    REQUEST = "every line that is written during a request"
    ACCESS = "access log"
    INFERENCE = "access log, inference requests only"
    STREAM = "access log, gRPC streams only"
    EXCEPTION = "lines with an exception"


@dataclass(frozen=True, slots=True)
class LogField:
    """
    Attributes:
        lines: the log lines that carry the field.
        meaning: one sentence for the reference page.
    """

    name: str
    lines: Lines
    meaning: str


LOG_FIELDS = (
    LogField(TIME, Lines.ALL, "Time of the event in UTC, ISO 8601 with milliseconds."),
    LogField(LEVEL, Lines.ALL, "`debug`, `info`, `warning`, `error` or `critical`."),
    LogField(LOGGER, Lines.ALL, "Module that wrote the line; `convserve.access` for the access log."),
    LogField(MESSAGE, Lines.ALL, "One sentence; in the access log the method and path, without the query."),
    LogField(PROCESS, Lines.ALL, "Process id of the worker."),
    LogField(TRACE_ID, Lines.REQUEST, "W3C trace id, taken from the request's `traceparent` or generated."),
    LogField(SPAN_ID, Lines.REQUEST, "Id of this server's span in the trace."),
    LogField(
        STATUS,
        Lines.ACCESS,
        "HTTP status code, 499 if the client disconnected early; the name of the status code for gRPC.",
    ),
    LogField(KEY, Lines.ACCESS, "Name of the API key, if the request has one."),
    LogField(BYTES, Lines.ACCESS, "Size of the response's body."),
    LogField(MS, Lines.ACCESS, "Duration of the request in milliseconds."),
    LogField(CLIENT, Lines.ACCESS, "IP address of the client."),
    LogField(PROTOCOL, Lines.INFERENCE, "Dialect of the request, as in the metrics."),
    LogField(CODE, Lines.INFERENCE, "Status code as in the metrics' label `code`."),
    LogField(MODEL, Lines.INFERENCE, "Name of the model, if the request names a served one."),
    LogField(VERSION, Lines.INFERENCE, "Version of the model."),
    LogField(DECODE_MS, Lines.INFERENCE, "Time to decode the images, in milliseconds."),
    LogField(QUEUE_MS, Lines.INFERENCE, "Time in the queue, in milliseconds."),
    LogField(COMPUTE_MS, Lines.INFERENCE, "Time in the engine, in milliseconds."),
    LogField(MESSAGES, Lines.STREAM, "Number of inference requests in the stream; replaces `code`."),
    LogField(FAILED, Lines.STREAM, "Number of those requests that failed."),
    LogField(EXCEPTION, Lines.EXCEPTION, "The stack trace."),
)
