"""What the native dialect answers, which every other dialect has to agree with bit for bit."""

from __future__ import annotations

from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from tests.support.http.answer import Answer
from tests.support.server.output_lines import DEADLINE

Scores = NDArray[np.float32]


def ranked(url: str, model: str, picture: bytes) -> list[dict[str, Any]]:
    """All classes of the picture, best first."""
    with closing(HTTPConnection(urlsplit(url).netloc, timeout=DEADLINE)) as connection:
        path = f"/models/{model}/classify?top_k=1000"
        connection.request("POST", path, picture, {"Content-Type": "image/png"})
        answer = Answer.read(connection.getresponse())
    assert answer.status == 200, answer.body
    top_k: list[dict[str, Any]] = answer.json["predictions"][0]["top_k"]
    return top_k


def probabilities(url: str, model: str, picture: bytes) -> Scores:
    """By class; JSON writes a float32 so that it comes back as the same."""
    by_class = sorted(ranked(url, model, picture), key=lambda each: each["index"])
    return np.array([each["probability"] for each in by_class], np.float32)
