"""Requests predictions in the native dialect, the reference for bit-identical results of other dialects."""

from __future__ import annotations

from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from tests.support.http.client import HttpResponse
from tests.support.server.output_lines import DEADLINE

Scores = NDArray[np.float32]


def ranked(url: str, model: str, image: bytes) -> list[dict[str, Any]]:
    """Return all classes of an image, best first."""
    with closing(HTTPConnection(urlsplit(url).netloc, timeout=DEADLINE)) as connection:
        path = f"/models/{model}/classify?top_k=1000"
        connection.request("POST", path, image, {"Content-Type": "image/png"})
        response = HttpResponse.read(connection.getresponse())
    assert response.status == 200, response.body
    top_k: list[dict[str, Any]] = response.json["predictions"][0]["top_k"]
    return top_k


def probabilities(url: str, model: str, image: bytes) -> Scores:
    """Return probabilities by class index; JSON keeps a float32 exactly."""
    by_class = sorted(ranked(url, model, image), key=lambda each: each["index"])
    return np.array([each["probability"] for each in by_class], np.float32)
