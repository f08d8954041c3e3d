"""Formats log records as text or JSON, one line per event."""

from __future__ import annotations

import json
import logging
import logging.config
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic_core import to_json

from ..system.printable import printable
from . import log_fields
from .log_handler import BatchingHandler
from .request_context import current

ACCESS = "convserve.access"

_UNQUOTED = re.compile(r"[!-~]*")  # printable ASCII except the space


def log_fields_of(record: logging.LogRecord) -> Mapping[str, Any]:
    """The fields given as `extra={"log_fields": ...}`, and the ids of the current trace."""
    given: Mapping[str, Any] = getattr(record, "log_fields", {})
    if log_fields.TRACE_ID in given:
        return given
    fields = dict(given)
    if (context := current.get()) is not None:
        fields[log_fields.TRACE_ID], fields[log_fields.SPAN_ID] = context.trace_id, context.span_id
    return fields


class _Timestamps:
    """Formats times; keeps the text of the current second, which many lines share.

    Args:
        convert: `time.gmtime` or `time.localtime`.
        form: for `time.strftime`, with a field for the milliseconds as in `str.format`.
    """

    def __init__(self, convert: Callable[[float], time.struct_time], form: str) -> None:
        self._convert = convert
        self._form = form
        self._cached = -1, ""  # one tuple, because threads share it

    def __call__(self, seconds: float) -> str:
        second = int(seconds)
        cached, text = self._cached
        if second != cached:
            text = time.strftime(self._form, self._convert(second))
            self._cached = second, text
        return text.format(int((seconds - second) * 1e3))


class JsonFormatter(logging.Formatter):
    """One JSON object per line, with the time in UTC."""

    def __init__(self) -> None:
        super().__init__()
        self._timestamp = _Timestamps(time.gmtime, "%Y-%m-%dT%H:%M:%S.{:03}Z")

    def format(self, record: logging.LogRecord) -> str:
        event = {
            log_fields.TIME: self._timestamp(record.created),
            log_fields.LEVEL: record.levelname.lower(),
            log_fields.LOGGER: record.name,
            log_fields.MESSAGE: record.getMessage(),
            log_fields.PROCESS: record.process,
            **log_fields_of(record),
        }
        if record.exc_info:
            event[log_fields.EXCEPTION] = self.formatException(record.exc_info)
        return _json(event)

    def access_line(self, message: str, fields: Mapping[str, Any]) -> str:
        """The line for a record of the access log."""
        return (
            f'{{"time":"{self._timestamp(time.time())}","level":"info",'
            f'"logger":"{ACCESS}","message":{_json(message)},"process":{os.getpid()},{_json(fields)[1:]}'
        )


class TextFormatter(logging.Formatter):
    """The message, in one line, followed by its fields as `name=value`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s%(suffix)s")
        self._timestamp = _Timestamps(time.localtime, "%Y-%m-%d %H:%M:%S,{:03}")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        return self._timestamp(record.created)

    def format(self, record: logging.LogRecord) -> str:
        fields = log_fields_of(record)
        record.suffix = _suffix(fields)
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return "\n".join(map(printable, super().formatException(ei).split("\n")))

    def access_line(self, message: str, fields: Mapping[str, Any]) -> str:
        """The line for a record of the access log."""
        return f"{self._timestamp(time.time())} INFO {ACCESS}: {printable(message)}{_suffix(fields)}"


def _json(value: Any) -> str:
    try:
        return to_json(value, fallback=str).decode()
    except ValueError:  # text that is not valid Unicode, such as an undecodable file name
        return json.dumps(value, default=str, separators=(",", ":"))


def _suffix(fields: Mapping[str, Any]) -> str:
    return "".join([f" {name}={quoted(value)}" for name, value in fields.items()])


def quoted(value: Any) -> str:
    """The value, in quotes and escaped where it could be read as another field or line."""
    if isinstance(value, (int, float)):
        return repr(value)
    text = str(value)
    return text if _UNQUOTED.fullmatch(text) else ascii(text)


def access_writer() -> Callable[[str, Mapping[str, Any]], None]:
    """A function that writes a line of the access log, given its message and fields.

    It formats the line for the handler that `configure_logs` has installed, without a log record, which costs
    as much as the line itself. With another configuration of logging it logs as usual.
    """
    for handler in logging.getLogger().handlers:
        formatter = handler.formatter
        if isinstance(handler, BatchingHandler) and isinstance(formatter, (JsonFormatter, TextFormatter)):
            add, access_line = handler.add, formatter.access_line
            return lambda message, fields: add(access_line(message, fields))
    logger = logging.getLogger(ACCESS)
    return lambda message, fields: logger.info("%s", message, extra={"log_fields": fields})


def configure_logs(level: str, log_format: Literal["text", "json"]) -> None:
    """Write this process's log to standard error, with only warnings and errors of uvicorn.

    The level does not apply to the access log, which has its own setting.
    """
    # No format here contains these; the documentation of logging recommends disabling unused ones.
    logging.logThreads = logging.logMultiprocessing = False
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"text": {"()": TextFormatter}, "json": {"()": JsonFormatter}},
            "handlers": {"stderr": {"()": BatchingHandler, "stream": sys.stderr, "formatter": log_format}},
            "root": {"level": level.upper(), "handlers": ["stderr"]},
            "loggers": {"uvicorn": {"level": "WARNING"}, ACCESS: {"level": "INFO"}},
        }
    )
