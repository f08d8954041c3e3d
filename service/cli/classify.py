"""The commands that answer on the terminal: `convserve classify` and `convserve check`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from ..config.settings import Settings
from ..errors import ConfigurationError, InvalidImage
from ..imaging.decode_pool import EncodedImage
from ..inference.data_plane import DataPlane
from ..server.startup_banner import StartupBanner
from ..telemetry.metrics import ServerMetrics
from .http_client import Client

Ask = Callable[[EncodedImage], Awaitable[dict[str, Any]]]


async def classify(
    settings: Settings,
    pictures: Sequence[Path],
    *,
    url: str | None,
    key: str | None,
    model: str | None,
    version: str | None,
    top_k: int,
    as_json: bool,
) -> int:
    """Print the labels of each picture; 1 if one of them could not be read, else 0.

    Args:
        url: the server to ask, with the API key `key`; None loads the models instead.

    Raises:
        ConvserveError: no picture can be answered, whichever it is.
    """
    if top_k < 1:
        raise ConfigurationError(f"--top-k must be a whole number from 1, not {top_k}")
    if version is not None and model is None:
        raise ConfigurationError("--model-version needs --model")
    if url is not None:
        with Client(url, model, version, top_k, key) as client:
            return await _print_answers(pictures, client.classify, as_json)
    plane = DataPlane.build(settings, ServerMetrics(CollectorRegistry()))
    async with plane.opened():
        loaded = plane.registry.resolve(model, version)

        async def ask(image: EncodedImage) -> dict[str, Any]:
            deadline = asyncio.get_running_loop().time() + settings.request_timeout_ms / 1000
            answer = await plane.classifier.classify(loaded, [image], top_k=top_k, deadline=deadline)
            return answer.as_dict()

        return await _print_answers(pictures, ask, as_json)


async def check(settings: Settings) -> int:
    """Print what would be served; 1 if some version would not be, else 0.

    Raises:
        ConfigurationError, NothingToServe: the server would not start.
    """
    plane = DataPlane.build(settings, ServerMetrics(CollectorRegistry()))
    async with plane.opened():
        announcement = StartupBanner.of(plane.registry)
        print(*announcement.models, *announcement.failures, sep="\n")
        return 1 if plane.registry.failures else 0


async def _print_answers(pictures: Sequence[Path], ask: Ask, as_json: bool) -> int:
    failed = False
    for path in pictures:
        try:
            answer = await ask(EncodedImage(path.read_bytes(), path.name))
        except OSError as error:
            print(f"convserve: {path}: {error.strerror}", file=sys.stderr)
            failed = True
        except InvalidImage as error:
            print(f"convserve: {path}: {error}", file=sys.stderr)
            failed = True
        else:
            print(json.dumps(answer) if as_json else _line(path, answer))
    return 1 if failed else 0


def _line(path: Path, answer: dict[str, Any]) -> str:
    ranked = answer["predictions"][0]["top_k"]
    return f"{path}: " + ", ".join(f"{each['label']} ({each['probability']:.2%})" for each in ranked)
