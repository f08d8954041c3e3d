"""Damaged pictures of all six formats against a server process: each is answered or refused."""

from __future__ import annotations

import http.client
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import cycle, islice
from pathlib import Path

import pytest

from tests.fuzz.conftest import FACTOR
from tests.support.http.client import HttpResponse
from tests.support.images.image_cases import CASES
from tests.support.models.gray_classifier import publish_shades
from tests.support.server.metrics_page import MetricsPage, scrape_until
from tests.support.server.output_lines import DEADLINE
from tests.support.server.procfs import memory, needs_procfs
from tests.support.server.server_process import ServerProcess

MEBIBYTE = 1024 * 1024
MAY_GROW = 8 * MEBIBYTE
# What the largest picture took is kept by the allocator, and would hide what leaks.
MAX_PIXELS = 1_000_000
# 20,000 with CONVSERVE_FUZZ=50.
COUNT = 400 * FACTOR
PICTURES = [case.data for case in CASES.values()]


def damaged(picture: bytes, draw: random.Random) -> bytes:
    """Bits turned, pieces taken out, doubled or written over, or the end cut off; of one to four places."""
    data = bytearray(picture)
    for _ in range(draw.randint(1, 4)):
        start = draw.randrange(len(data) or 1)
        end = min(len(data), start + draw.randint(1, 32))
        match draw.randrange(5):
            case 0:
                data[start:end] = bytes(byte ^ (1 << draw.randrange(8)) for byte in data[start:end])
            case 1:
                data[start:end] = draw.choice([b"", b"\0", b"\xff"]) * (end - start)
            case 2:
                data[start:end] = data[start:end] * 2
            case 3:
                data[start:end] = draw.randbytes(end - start)
            case _:
                del data[max(1, start) :]
    return bytes(data)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server whose standard error may hold what libtiff writes there of damaged TIFFs."""
    publish_shades(tmp_path)
    with ServerProcess(tmp_path, "--max-pixels", str(MAX_PIXELS)) as server:
        yield server
        assert "Traceback" not in server.stderr.text
        assert "uvicorn" not in server.stderr.text


@needs_procfs
def test_damaged_pictures_are_read_or_refused(own: ServerProcess) -> None:
    draw = random.Random(6)
    statuses: Counter[int] = Counter()
    sizes = []
    with closing(http.client.HTTPConnection(*own.address, timeout=DEADLINE)) as connection:
        for _ in range(2):
            for picture in islice(cycle(PICTURES), COUNT // 2):
                connection.request("POST", "/classify", damaged(picture, draw), {"Content-Type": "image/x"})
                answer = HttpResponse.read(connection.getresponse())
                assert answer.status in (200, 400), answer.body
                statuses[answer.status] += 1
            scrape_until(own.url, MetricsPage.is_idle)
            sizes.append(memory(own.pid, "VmRSS"))
    assert min(statuses[200], statuses[400]) > COUNT / 10, statuses
    assert sizes[1] - sizes[0] < MAY_GROW
