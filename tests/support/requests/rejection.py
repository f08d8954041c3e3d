"""What every refusal over REST looks like."""

from __future__ import annotations

import re
from typing import Any


def refused(answer: Any, status: int, sentence: str) -> None:
    """An answer of this status and nothing but a sentence, which matches."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    assert re.search(sentence, answer.json()["error"]), answer.text
