"""How the log is written: one line an event, as text or as JSON."""

from __future__ import annotations

import json
import logging
import logging.config
import time
from typing import Literal


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
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return json.dumps(event, ensure_ascii=False)


def configure_logs(level: str, form: Literal["text", "json"]) -> None:
    """Write this process's log to standard error; uvicorn speaks only where something is amiss."""
    text = {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"text": text, "json": {"()": JsonFormatter}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": form}},
            "root": {"level": level.upper(), "handlers": ["stderr"]},
            "loggers": {"uvicorn": {"level": "WARNING"}},
        }
    )
