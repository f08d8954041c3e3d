"""The memory of decoding is computed from the header, and never more than computed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from service.errors import PayloadTooLarge
from service.imaging.decoder import Decoder
from tests.support.images.bombs import MAX_PIXELS
from tests.support.images.decode_peaks import TARGETS, Peak, spec
from tests.support.images.image_cases import encode
from tests.support.images.large_images import LARGEST
from tests.support.server.procfs import needs_procfs

ROOT = Path(__file__).resolve().parents[4]


def decoder(max_decode_bytes: int = 1 << 40) -> Decoder:
    return Decoder(spec("28 grey"), max_pixels=MAX_PIXELS, max_decode_bytes=max_decode_bytes)


def test_image_that_needs_too_much_memory_is_rejected_by_its_header() -> None:
    data = encode(Image.new("RGB", (1000, 1000)), "PNG")
    needed = decoder().decode_bytes(decoder().inspect(data))

    assert decoder(needed).inspect(data).pixels == 1_000_000
    with pytest.raises(PayloadTooLarge) as caught:
        decoder(needed - 1).inspect(data)
    assert str(caught.value) == (
        f"decoding the PNG of 1000x1000 pixels needs {needed:,} bytes of memory; "
        f"at most {needed - 1:,} are allowed (CONVSERVE_MAX_DECODE_BYTES)"
    )


@pytest.fixture(scope="module")
def peaks() -> dict[str, Peak]:
    """The memory that decoding takes, and what is computed from the header."""
    command = [sys.executable, "-m", "tests.support.images.decode_peaks", "1500"]
    # Large blocks are mapped, so that none of a freed one is used again.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    return {name: Peak(*peak) for name, peak in json.loads(done.stdout).items()}


@needs_procfs
@pytest.mark.parametrize("name", LARGEST)
@pytest.mark.measures
def test_decoding_takes_no_more_memory_than_computed(name: str, peaks: dict[str, Peak]) -> None:
    for target in TARGETS:
        peak = peaks[f"{name}, {target}"]
        assert 0.1 * peak.computed < peak.measured <= peak.computed
