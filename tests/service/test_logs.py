from __future__ import annotations

import json
import logging
import subprocess
import sys

from service.logs import JsonFormatter


def test_a_json_line_holds_the_event_and_its_traceback() -> None:
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


def test_the_log_goes_to_standard_error_in_the_form_that_was_set() -> None:
    code = (
        "import logging, service.logs as logs; logs.configure_logs('warning', 'json'); "
        "logging.getLogger('a').info('quiet'); logging.getLogger('a').warning('loud')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert result.stdout == ""
    assert json.loads(result.stderr)["message"] == "loud"
