"""What the native dialect answers, which every other dialect has to agree with bit for bit."""

from __future__ import annotations

from typing import Any

import httpx2
import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]


def ranked(url: str, model: str, picture: bytes) -> list[dict[str, Any]]:
    """All classes of the picture, best first."""
    answer = httpx2.post(f"{url}/models/{model}/classify?top_k=1000", content=picture)
    assert answer.status_code == 200, answer.text
    top_k: list[dict[str, Any]] = answer.json()["predictions"][0]["top_k"]
    return top_k


def probabilities(url: str, model: str, picture: bytes) -> Scores:
    """By class; JSON writes a float32 so that it comes back as the same."""
    by_class = sorted(ranked(url, model, picture), key=lambda each: each["index"])
    return np.array([each["probability"] for each in by_class], np.float32)
