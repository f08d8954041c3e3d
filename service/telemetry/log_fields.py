"""Fields of a log line in JSON; docs/reference/log-fields.md is generated from them."""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Self


class Lines(Enum):
    """Log lines that carry a field."""

    ALL = "every line"
    REQUEST = "every line that is written during a request"
    ACCESS = "access log"
    INFERENCE = "access log, inference requests only"
    EXCEPTION = "lines with an exception"


class LogField(StrEnum):
    """
    Attributes:
        lines: the log lines that carry the field.
        meaning: one sentence for the reference page.
    """

    lines: Lines
    meaning: str

    def __new__(cls, name: str, lines: Lines, meaning: str) -> Self:
        field = str.__new__(cls, name)
        field._value_ = name
        field.lines = lines
        field.meaning = meaning
        return field

    TIME = "time", Lines.ALL, "Time of the event in UTC, ISO 8601 with milliseconds."
    LEVEL = "level", Lines.ALL, "`debug`, `info`, `warning`, `error` or `critical`."
    LOGGER = "logger", Lines.ALL, "Module that wrote the line; `convserve.access` for the access log."
    MESSAGE = (
        "message",
        Lines.ALL,
        "One sentence; in the access log the method and path, without the query.",
    )
    PROCESS = "process", Lines.ALL, "Process id of the worker."
    TRACE_ID = "trace_id", Lines.REQUEST, "W3C trace id, taken from the request's `traceparent` or generated."
    SPAN_ID = "span_id", Lines.REQUEST, "Id of this server's span in the trace."
    STATUS = (
        "status",
        Lines.ACCESS,
        "HTTP status code, 499 if the client left early; the name of the status code for gRPC.",
    )
    KEY = "key", Lines.ACCESS, "Name of the API key, if the request has one."
    BYTES = "bytes", Lines.ACCESS, "Size of the response's body."
    MS = "ms", Lines.ACCESS, "Duration of the request in milliseconds."
    CLIENT = "client", Lines.ACCESS, "IP address of the client."
    PROTOCOL = "protocol", Lines.INFERENCE, "Dialect of the request, as in the metrics."
    CODE = "code", Lines.INFERENCE, "Status code as in the metrics' label `code`."
    MODEL = "model", Lines.INFERENCE, "Name of the model, if the request names a served one."
    VERSION = "version", Lines.INFERENCE, "Version of the model."
    DECODE_MS = "decode_ms", Lines.INFERENCE, "Time to decode the images, in milliseconds."
    QUEUE_MS = "queue_ms", Lines.INFERENCE, "Time in the queue, in milliseconds."
    COMPUTE_MS = "compute_ms", Lines.INFERENCE, "Time in the engine, in milliseconds."
    EXCEPTION = "exception", Lines.EXCEPTION, "The stack trace."
