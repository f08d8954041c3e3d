from __future__ import annotations

from itertools import takewhile
from pathlib import Path

import pytest

from service.security.rate_limiter import RateLimiter

SLOW = 0.001  # once in a thousand seconds, longer than any test


def test_burst_of_one_second_is_admitted() -> None:
    rates = RateLimiter(None)
    admitted = list(takewhile(lambda wait: not wait, (rates.take("mobile", 1000.0) for _ in range(100_000))))
    assert len(admitted) >= 1000
    assert 0 < rates.take("mobile", SLOW) <= 1000


def test_take_returns_the_seconds_to_wait() -> None:
    rates = RateLimiter(None)
    assert rates.take("mobile", SLOW) == 0
    assert rates.take("mobile", SLOW) == pytest.approx(1000, abs=60)
    assert rates.take("other", SLOW) == 0


def test_workers_share_a_bucket(tmp_path: Path) -> None:
    first, second = RateLimiter(tmp_path), RateLimiter(tmp_path)
    assert first.take("mobile", SLOW) == 0
    assert second.take("mobile", SLOW) > 0
    assert RateLimiter(tmp_path).take("mobile", SLOW) > 0
