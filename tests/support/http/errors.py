"""Checks error responses of the REST dialects."""

from __future__ import annotations

import re
from typing import Any


def assert_error(response: Any, status: int, sentence: str) -> None:
    """Asserts that a response has this status and, as its only content, an error that matches."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["error"]
    assert re.search(sentence, response.json()["error"]), response.text
