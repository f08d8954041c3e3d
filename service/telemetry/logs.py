"""The log's two formats, text and JSON: one line an event."""

from __future__ import annotations

import json
import logging
import logging.config
import time
from collections.abc import Mapping
from typing import Any, Literal

from .request_context import current

ACCESS = "convserve.access"


def log_fields_of(record: logging.LogRecord) -> Mapping[str, Any]:
    """The fields given as `extra={"log_fields": ...}`, and the ids of the current trace."""
    fields: dict[str, Any] = dict(getattr(record, "log_fields", {}))
    if (context := current.get()) is not None:
        fields["trace_id"], fields["span_id"] = context.trace_id, context.span_id
    return fields


class JsonFormatter(logging.Formatter):
    """One JSON object a line, the time in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
            **log_fields_of(record),
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return json.dumps(event, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """The message followed by its fields as `name=value`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s%(suffix)s")

    def format(self, record: logging.LogRecord) -> str:
        record.suffix = "".join(f" {name}={quoted(value)}" for name, value in log_fields_of(record).items())
        return super().format(record)


def quoted(value: Any) -> str:
    """The value, in quotes and escaped where it could be read as another field or line."""
    text = str(value)
    return text if text.isprintable() and " " not in text and text.isascii() else ascii(text)


def configure_logs(level: str, form: Literal["text", "json"]) -> None:
    """Write this process's log to standard error; of uvicorn only warnings and errors.

    The level does not apply to the access log, which has its own setting.
    """
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"text": {"()": TextFormatter}, "json": {"()": JsonFormatter}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": form}},
            "root": {"level": level.upper(), "handlers": ["stderr"]},
            "loggers": {"uvicorn": {"level": "WARNING"}, ACCESS: {"level": "INFO"}},
        }
    )
