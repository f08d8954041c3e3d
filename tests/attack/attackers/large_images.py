"""Small files of large images, and images that are expensive for their size."""

from __future__ import annotations

import io
import zlib

from PIL import Image

from tests.attack.attacker import Attack, Attacker, post

SIDE = 7071  # squared, a little less than CONVSERVE_MAX_PIXELS
SCANS = 90
CONNECTIONS = 4


class Scans(Attack):
    """A progressive JPEG of 50 megapixels in which one scan is repeated."""

    name = "progressive scans"

    def __init__(self) -> None:
        image = io.BytesIO()
        Image.new("L", (SIDE, SIDE), 128).save(image, "JPEG", progressive=True, quality=10)
        data = image.getvalue()
        last = data.rindex(b"\xff\xda")
        repeated = data[:-2] + data[last:-2] * SCANS + data[-2:]
        self._request = post("/classify", repeated, "Content-Type: image/jpeg")

    def play(self, attacker: Attacker) -> None:
        attacker.send(self._request)


class LargeImages(Attack):
    """Four connections that send images of 50 megapixels without a pause."""

    name = "large images"

    def __init__(self) -> None:
        self._request = post("/classify", flat_png("RGB"), "Content-Type: image/png")

    def play(self, attacker: Attacker) -> None:
        attacker.together([lambda: attacker.send(self._request)] * CONNECTIONS)


def flat_png(mode: str) -> bytes:
    """A PNG of one colour and 50 megapixels."""
    image = io.BytesIO()
    Image.new(mode, (SIDE, SIDE)).save(image, "PNG", compress_level=9, compress_type=zlib.Z_DEFAULT_STRATEGY)
    return image.getvalue()
