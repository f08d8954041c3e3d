"""Measures the memory that decoding takes, each image in a process of its own.

Run as a program, it writes for each image of LARGEST, of the given side, the computed and the measured bytes
to standard output as JSON.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

from service.imaging.decoder import Decoder
from service.repository.manifest import InputSpec
from tests.support.images.large_images import LARGEST

TARGETS = ("28 grey", "224 colour", "any size")
UNLIMITED = 1 << 40


class Peak(NamedTuple):
    computed: int
    measured: int


def spec(target: str) -> InputSpec:
    side = None if target == "any size" else int(target.split()[0])
    return InputSpec.model_validate(
        {
            "name": "image",
            "dtype": "float32",
            "layout": "NCHW",
            "height": side,
            "width": side,
            "channels": 1 if "grey" in target else 3,
            "resize": "fit",
            "polarity": "light-on-dark" if "grey" in target else None,
            "scale": 1 / 255,
            "mean": None,
            "std": None,
        }
    )


def resident(field: str) -> int:
    match = re.search(rf"^{field}:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert match
    return int(match[1]) * 1024


def peak(target: str, data: bytes) -> Peak:
    """Fork, so that no memory is left from other images."""
    readable, writable = os.pipe()
    if os.fork() == 0:
        decoding = Decoder(spec(target), max_pixels=UNLIMITED, max_decode_bytes=UNLIMITED)
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
        before = resident("VmRSS")
        header = decoding.inspect(data)
        decoding.decode(decoding.open(data, header))
        result = Peak(decoding.decode_bytes(header), resident("VmHWM") - before)
        os.write(writable, json.dumps(result).encode())
        os._exit(0)
    os.close(writable)
    with open(readable, "rb") as results:
        computed, measured = json.loads(results.read())
    os.wait()
    return Peak(computed, measured)


if __name__ == "__main__":
    side = int(sys.argv[1])
    images = {name: draw(side) for name, (draw, _) in LARGEST.items()}
    for target in TARGETS:  # what the plugins import is not counted
        peak(target, images["PNG RGB"])
    json.dump(
        {f"{name}, {target}": peak(target, data) for name, data in images.items() for target in TARGETS},
        sys.stdout,
    )
