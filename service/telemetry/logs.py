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
from functools import lru_cache
from typing import Any, Literal

from pydantic_core import to_json

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


class JsonFormatter(logging.Formatter):
    """One JSON object per line, with the time in UTC."""

    def __init__(self) -> None:
        super().__init__()
        self._second = lru_cache(maxsize=2)(_utc)

    def format(self, record: logging.LogRecord) -> str:
        event = {
            log_fields.TIME: f"{self._second(int(record.created))}.{int(record.msecs):03}Z",
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
        now = time.time()
        second = int(now)
        return (
            f'{{"time":"{self._second(second)}.{int((now - second) * 1e3):03}Z","level":"info",'
            f'"logger":"{ACCESS}","message":{_json(message)},"process":{os.getpid()},{_json(fields)[1:]}'
        )


class TextFormatter(logging.Formatter):
    """The message followed by its fields as `name=value`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s%(suffix)s")
        self._second = lru_cache(maxsize=2)(_local)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        return f"{self._second(int(record.created))},{int(record.msecs):03}"

    def format(self, record: logging.LogRecord) -> str:
        fields = log_fields_of(record)
        record.suffix = _suffix(fields)
        return super().format(record)

    def access_line(self, message: str, fields: Mapping[str, Any]) -> str:
        """The line for a record of the access log."""
        now = time.time()
        second = int(now)
        begin = f"{self._second(second)},{int((now - second) * 1e3):03} INFO {ACCESS}: {message}"
        return begin + _suffix(fields)


def _json(value: Any) -> str:
    try:
        return to_json(value, fallback=str).decode()
    except ValueError:  # text that is not valid Unicode, such as an undecodable file name
        return json.dumps(value, default=str, separators=(",", ":"))


def _suffix(fields: Mapping[str, Any]) -> str:
    return "".join([f" {name}={quoted(value)}" for name, value in fields.items()])


def _local(second: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))


def _utc(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


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
