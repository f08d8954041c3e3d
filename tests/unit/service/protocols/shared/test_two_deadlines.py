"""The earlier of two deadlines applies, from the header and from the body."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from tests.support.requests.infer_bodies import document

LONG_MS, SHORT_MS = "30000", "0.001"
LONG_US, SHORT_US = 30_000_000, 1


@pytest.mark.parametrize(
    ("header", "timeout", "status"),
    [
        (LONG_MS, LONG_US, 200),
        (LONG_MS, SHORT_US, 504),
        (SHORT_MS, LONG_US, 504),
        (LONG_MS, 0, 200),
        (SHORT_MS, 0, 504),
    ],
)
def test_earlier_deadline_applies(client: TestClient, header: str, timeout: int, status: int) -> None:
    body = {**document(), "parameters": {"timeout": timeout}}
    response = client.post("/v2/models/shades/infer", json=body, headers={"X-Request-Timeout-Ms": header})
    assert response.status_code == status, response.text
