from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.batching.gated_engine import GatedEngine


@pytest.fixture
def gated() -> Iterator[tuple[GatedEngine, ThreadPoolExecutor]]:
    """An engine with a closed gate, and a thread for its runs."""
    engine = GatedEngine()
    with ThreadPoolExecutor(1) as executor:
        yield engine, executor
        engine.gate.set()
