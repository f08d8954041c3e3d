from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any

import pytest

from service.telemetry.logs import JsonFormatter, TextFormatter, access_writer
from service.telemetry.request_context import RequestContext, current


def test_json_has_the_event_and_its_traceback() -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        record = logging.LogRecord("service.x", logging.ERROR, "x.py", 1, "lost %d", (3,), sys.exc_info())
    line = JsonFormatter().format(record)
    assert "\n" not in line
    event = json.loads(line)
    assert (event["level"], event["logger"], event["message"]) == ("error", "service.x", "lost 3")
    assert "ValueError: first" in event["exception"]
    assert event["time"].endswith("Z")


def test_log_goes_to_standard_error_in_the_configured_format() -> None:
    code = (
        "import logging, service.telemetry.logs as logs; logs.configure_logs('warning', 'json'); "
        "logging.getLogger('a').info('quiet'); logging.getLogger('a').warning('loud')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert result.stdout == ""
    assert json.loads(result.stderr)["message"] == "loud"


def record(message: str, **log_fields: Any) -> logging.LogRecord:
    made = logging.LogRecord("convserve.access", logging.INFO, "x.py", 1, message, (), None)
    made.log_fields = log_fields
    return made


def test_json_has_a_member_for_each_field() -> None:
    event = json.loads(JsonFormatter().format(record("GET /", status=200, model="shades")))
    assert (event["message"], event["status"], event["model"]) == ("GET /", 200, "shades")


def test_fields_cannot_forge_a_line_of_text() -> None:
    line = TextFormatter().format(record("GET /", model="a b\n2026 ERROR all is lost", status=200))
    assert line.endswith(r" INFO convserve.access: GET / model='a b\n2026 ERROR all is lost' status=200")


def test_messages_cannot_forge_a_line_of_text_or_command_a_terminal() -> None:
    line = TextFormatter().format(record("no label \x1b[31m\n2026 ERROR all is lost"))
    assert line.endswith(r" INFO convserve.access: no label \x1b[31m\n2026 ERROR all is lost")
    try:
        raise ValueError("first\x1b[31m\nsecond")
    except ValueError:
        failed = logging.LogRecord("service.x", logging.ERROR, "x.py", 1, "lost", (), sys.exc_info())
    text = TextFormatter().format(failed)
    assert "Traceback (most recent call last):\n  File " in text
    assert text.endswith("ValueError: first\\x1b[31m\nsecond")
    assert TextFormatter().access_line("GET /\x1b", {}).endswith(r" INFO convserve.access: GET /\x1b")


def test_lines_logged_during_a_request_have_its_trace() -> None:
    context = RequestContext.begin(None)
    token = current.set(context)
    try:
        event = json.loads(JsonFormatter().format(record("lost")))
    finally:
        current.reset(token)
    assert (event["trace_id"], event["span_id"]) == (context.trace_id, context.span_id)
    assert "trace_id" not in json.loads(JsonFormatter().format(record("lost")))


FIELDS = {"status": 200, "client": "a b", "ms": 0.25, "trace_id": "1" * 32, "span_id": "2" * 16}


def test_json_access_line_has_the_members_of_a_record() -> None:
    line = json.loads(JsonFormatter().access_line('GET /"x"', FIELDS))
    event = json.loads(JsonFormatter().format(record('GET /"x"', **FIELDS)))
    assert list(line) == list(event)
    assert {**line, "time": ""} == {**event, "time": ""}


def test_text_access_line_has_the_form_of_a_record() -> None:
    line = TextFormatter().access_line("GET /x", FIELDS)
    event = TextFormatter().format(record("GET /x", **FIELDS))
    date = len("2026-01-01 00:00:00,000")
    assert line[date:] == event[date:]
    assert len(line) == len(event)


def test_access_lines_are_logged_where_logging_is_configured_by_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "convserve.access")
    access_writer()("GET /x", FIELDS)
    assert caplog.messages == ["GET /x"]
