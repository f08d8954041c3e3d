"""How the log is written: one line an event, as text or as JSON."""

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
    """What an event tells besides its message, and in which trace it happened."""
    log_fields: dict[str, Any] = dict(getattr(record, "told", {}))
    if (account := current.get()) is not None:
        log_fields["trace_id"], log_fields["span_id"] = account.trace_id, account.span_id
    return log_fields


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
    """The message, and behind it what else is told, as `name=value`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s%(told_in_words)s")

    def format(self, record: logging.LogRecord) -> str:
        record.told_in_words = "".join(
            f" {name}={_word(value)}" for name, value in log_fields_of(record).items()
        )
        return super().format(record)


def _word(value: Any) -> str:
    """As it is, unless somebody who reads the line could take it for something else."""
    text = str(value)
    return text if text.isprintable() and " " not in text and text.isascii() else ascii(text)


def configure_logs(level: str, form: Literal["text", "json"]) -> None:
    """Write this process's log to standard error; uvicorn speaks only where something is amiss.

    Lines of access are written at every level, for they have a setting of their own.
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
