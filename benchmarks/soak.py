"""Loads a server at 80 % of its capacity for a long time: `python -m benchmarks.soak --minutes 10`.

Every model of the repository gets requests in three protocols, with images of three sizes, at random times
(a Poisson process). The exit code is 1 if a request fails or memory grows.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
from PIL import Image

from benchmarks.host_info import HostInfo

SHARE_OF_CAPACITY = 0.8
CONNECTIONS = 16
CALIBRATION_SECONDS = 10.0
# The share of the run at its start during which memory may still grow.
SETTLING = 0.2
SAMPLES_PER_MINUTE = 30
# A slope counts as growth when it exceeds this many standard errors.
SIGNIFICANCE = 3.0
# Smaller growth is ignored: 0.1 % of a server's memory in ten minutes.
NEGLIGIBLE_MEBIBYTES = 1.0


class Outcome(NamedTuple):
    """One response; times are in seconds."""

    due: float
    seconds: float
    status: int


class Soak:
    """Sends requests to one server and records the outcomes."""

    def __init__(self, url: str, requests: Sequence[bytes]) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 0)
        self._requests = requests
        self.outcomes: list[Outcome] = []
        self.errors: list[str] = []

    async def closed(self, seconds: float) -> float:
        """Run a closed loop and return the requests per second."""
        end = time.monotonic() + seconds
        before = len(self.outcomes)

        async def send_until(end: float) -> None:
            stream = await asyncio.open_connection(*self._address)
            while (now := time.monotonic()) < end:
                await self._send(*stream, now)
            stream[1].close()

        await asyncio.gather(*(send_until(end) for _ in range(CONNECTIONS)))
        return (len(self.outcomes) - before) / seconds

    async def open(self, seconds: float, rate: float) -> None:
        """Run an open loop: send `rate` requests per second, whether or not earlier ones are complete."""
        due: asyncio.Queue[float | None] = asyncio.Queue()

        async def send_due() -> None:
            stream = await asyncio.open_connection(*self._address)
            while (moment := await due.get()) is not None:
                await self._send(*stream, moment)
            stream[1].close()

        senders = [asyncio.create_task(send_due()) for _ in range(4 * CONNECTIONS)]
        start = moment = time.monotonic()
        while moment < start + seconds:
            moment += random.expovariate(rate)
            await asyncio.sleep(moment - time.monotonic())
            due.put_nowait(moment)
        for _ in senders:
            due.put_nowait(None)
        await asyncio.gather(*senders)

    async def _send(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, due: float) -> None:
        writer.write(random.choice(self._requests))
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        body = await reader.readexactly(int(length[1]) if length else 0)
        status = int(head[9:12])
        if status != 200:
            self.errors.append(f"{status}: {body.decode(errors='replace')[:200]}")
        self.outcomes.append(Outcome(due, time.monotonic() - due, status))


def requests_of(url: str) -> Sequence[bytes]:
    """Return one request per model, image and protocol that the model supports."""
    with urlopen(f"{url}/models") as response:
        models = json.load(response)["models"]
    requests = []
    for model in models:
        name, side = model["name"], model["input"].get("width") or 64
        classifies = model["output"]["kind"] != "maps"
        for image in (synthetic(side, "PNG"), synthetic(3 * side, "PNG"), synthetic(512, "JPEG")):
            text = base64.b64encode(image).decode()
            tensor = {"name": model["input"]["name"], "shape": [1], "datatype": "BYTES", "data": [text]}
            requests.append(
                _request(f"/v2/models/{name}/infer", "application/json", _json({"inputs": [tensor]}))
            )
            if classifies:
                three = _json({"instances": [{"b64": text}] * 3})
                requests.append(_request(f"/models/{name}/classify", "application/octet-stream", image))
                requests.append(_request(f"/v1/models/{name}:predict", "application/json", three))
    return requests


def synthetic(side: int, image_format: str) -> bytes:
    """Return an image of smooth random shades of gray."""
    noise = np.random.default_rng(side).integers(0, 256, (8, 8), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC).save(buffer, image_format)
    return buffer.getvalue()


def _json(document: object) -> bytes:
    return json.dumps(document).encode()


def _request(path: str, content_type: str, body: bytes) -> bytes:
    head = [
        f"POST {path} HTTP/1.1",
        "Host: soak",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


def resident(pid: int) -> float:
    """Return the resident MiB of a process and its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    status = Path(f"/proc/{pid}/status").read_text()
    own = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]
    return own + sum(resident(int(child)) for child in children)


def slope(samples: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Fit a line to samples `(minute, MiB)`; return its slope and standard error, in MiB per minute."""
    minutes, sizes = np.array(samples).T
    (gradient, _), covariance = np.polyfit(minutes, sizes, 1, cov=True)
    return float(gradient), float(np.sqrt(covariance[0, 0]))


async def sample_memory(pid: int, minutes: float) -> Sequence[tuple[float, float]]:
    samples = []
    start = time.monotonic()
    while (passed := (time.monotonic() - start) / 60) < minutes:
        samples.append((passed, resident(pid)))
        await asyncio.sleep(60 / SAMPLES_PER_MINUTE)
    return samples


async def soak(url: str, pid: int, minutes: float) -> int:
    run = Soak(url, requests_of(url))
    await run.closed(CALIBRATION_SECONDS / 2)
    capacity = await run.closed(CALIBRATION_SECONDS)
    run.outcomes.clear()
    rate = SHARE_OF_CAPACITY * capacity
    print(
        f"{capacity:.0f} requests per second at most; sending {rate:.0f} for {minutes:g} minutes", flush=True
    )
    _, samples = await asyncio.gather(run.open(60 * minutes, rate), sample_memory(pid, minutes))
    settled = [sample for sample in samples if sample[0] > SETTLING * minutes]
    gradient, error = slope(settled)
    waits = np.percentile([1e3 * outcome.seconds for outcome in run.outcomes], [50, 99, 99.9])
    grows = gradient > SIGNIFICANCE * error and gradient * minutes > NEGLIGIBLE_MEBIBYTES
    print(f"machine      {HostInfo.collect().kind}")
    print(f"requests     {len(run.outcomes)}, of which {len(run.errors)} failed")
    print(f"latency      median {waits[0]:.1f} ms, p99 {waits[1]:.1f} ms, p99.9 {waits[2]:.1f} ms")
    print(f"memory       {settled[0][1]:.1f} to {settled[-1][1]:.1f} MiB")
    verdict = "growing" if grows else "not significant"
    print(f"slope        {gradient:+.3f} ± {error:.3f} MiB per minute: {verdict}")
    for message in run.errors[:5]:
        print(f"error        {message}")
    return 1 if grows or run.errors else 0


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.soak")
    parser.add_argument("--minutes", type=float, default=10.0, help="duration (default: %(default)g)")
    parser.add_argument("--workers", default="1", help="worker processes (default: %(default)s)")
    parser.add_argument(
        "--models", metavar="DIR", help="model repository (default: the models that ship with the project)"
    )
    arguments = parser.parse_args()
    command = [
        sys.executable,
        "-m",
        "service",
        "serve",
        "--port",
        "0",
        "--grpc-port",
        "0",
        "--workers",
        arguments.workers,
    ]
    command += ["--models", arguments.models] if arguments.models else []
    with subprocess.Popen([*command, "--log-level", "warning"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            url = server.stdout.readline().split()[-1]
            return asyncio.run(soak(url, server.pid, arguments.minutes))
        finally:
            server.terminate()


if __name__ == "__main__":
    sys.exit(main())
