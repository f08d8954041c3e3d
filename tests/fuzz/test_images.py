"""Fuzzes a server process with damaged images of all six formats."""

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
# The allocator keeps the memory of the largest image, which would hide leaks.
MAX_PIXELS = 1_000_000
# 20,000 with CONVSERVE_FUZZ=50.
COUNT = 400 * FACTOR
IMAGES = [case.data for case in CASES.values()]


def damaged(image: bytes, draw: random.Random) -> bytes:
    """Flips bits, removes, duplicates or overwrites pieces, or truncates, in one to four places."""
    data = bytearray(image)
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
    """A server whose standard error may have libtiff's messages about damaged TIFFs."""
    publish_shades(tmp_path)
    with ServerProcess(tmp_path, "--max-pixels", str(MAX_PIXELS)) as server:
        yield server
        assert "Traceback" not in server.stderr.text
        assert "uvicorn" not in server.stderr.text


@needs_procfs
@pytest.mark.measures
def test_damaged_images_are_decoded_or_rejected(own: ServerProcess) -> None:
    draw = random.Random(6)
    statuses: Counter[int] = Counter()
    sizes = []
    with closing(http.client.HTTPConnection(*own.address, timeout=DEADLINE)) as connection:
        for _ in range(2):
            for image in islice(cycle(IMAGES), COUNT // 2):
                connection.request("POST", "/classify", damaged(image, draw), {"Content-Type": "image/x"})
                response = HttpResponse.read(connection.getresponse())
                assert response.status in (200, 400), response.body
                statuses[response.status] += 1
            scrape_until(own.url, MetricsPage.is_idle)
            sizes.append(memory(own.pid, "VmRSS"))
    assert min(statuses[200], statuses[400]) > COUNT / 10, statuses
    assert sizes[1] - sizes[0] < MAY_GROW
