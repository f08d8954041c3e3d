"""Clients that ask a few times a second over a connection that stays open."""

from __future__ import annotations

import http.client
import io
import select
import threading
import time
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageFilter

from tests.attack.attacker import Address

SMALL_SIDE = 28
PHOTOGRAPH = (1632, 1224)  # two megapixels
TIMEOUT = 30.0
SHOWN = 200


@dataclass(frozen=True, slots=True)
class Question:
    """A request that a polite client repeats."""

    name: str
    path: str
    content_type: str
    body: bytes
    rate: float  # requests a second


@dataclass(slots=True)
class Answers:
    """The results of a polite client.

    Attributes:
        latencies: seconds of each request that succeeded.
        failures: the reasons of the others, and when they came, in seconds from the start.
    """

    latencies: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class PoliteClient(threading.Thread):
    """Sends the next request when it is due and the last is answered.

    A connection that the server closed between two requests is opened again, as HTTP libraries do.
    """

    def __init__(self, address: Address, source: str, question: Question) -> None:
        super().__init__(daemon=True)
        self.answers = Answers()
        self._connection = http.client.HTTPConnection(*address, timeout=TIMEOUT, source_address=(source, 0))
        self._question = question
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        start = due = time.monotonic()
        while not self._stopping.wait(max(due - time.monotonic(), 0.0)):
            begun = time.monotonic()
            if reason := self._ask():
                self.answers.failures.append(f"after {begun - start:.1f} s: {reason}")
                self._connection.close()
            else:
                self.answers.latencies.append(time.monotonic() - begun)
            due = max(due + 1 / self._question.rate, time.monotonic())
        self._connection.close()

    def _ask(self) -> str:
        self._close_if_ended()
        headers = {"Content-Type": self._question.content_type}
        try:
            self._connection.request("POST", self._question.path, self._question.body, headers)
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            return f"{type(error).__name__}: {error}"
        return "" if response.status == 200 else f"{response.status} {body[:SHOWN].decode('latin-1')}"

    def _close_if_ended(self) -> None:
        connection = self._connection.sock
        if connection is not None and select.select([connection], [], [], 0)[0]:
            self._connection.close()


def questions() -> tuple[Question, ...]:
    return (
        Question("small images", "/classify", "image/png", _small(), rate=5.0),
        Question("photographs", "/models/signnet/classify", "image/jpeg", _photograph(), rate=2.0),
    )


def _small() -> bytes:
    draw = np.random.default_rng(7)
    pixels = draw.integers(0, 256, (SMALL_SIDE, SMALL_SIDE), np.uint8)
    return _encoded(Image.fromarray(pixels), "PNG")


def _photograph() -> bytes:
    """An image with details of all sizes, as a camera would take it."""
    draw = np.random.default_rng(7)
    coarse = Image.fromarray(draw.integers(0, 256, (51, 68, 3), np.uint8)).resize(PHOTOGRAPH)
    fine = Image.fromarray(draw.integers(0, 256, (PHOTOGRAPH[1], PHOTOGRAPH[0], 3), np.uint8))
    return _encoded(Image.blend(coarse, fine.filter(ImageFilter.GaussianBlur(1)), 0.3), "JPEG")


def _encoded(image: Image.Image, form: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()
