"""The command `convserve classify`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from prometheus_client import CollectorRegistry

from ..client_budget import Account
from ..config.settings import Settings
from ..errors import ConfigurationError, InvalidImage, RemoteServerError
from ..http_client import HttpClient
from ..imaging.decode_pool import EncodedImage
from ..inference.data_plane import DataPlane
from ..lifecycle.lifecycle import Lifecycle
from ..system.printable import printable
from ..telemetry.metrics import ServerMetrics
from .exit_codes import ExitCode

# Returns the document that `POST /classify` of the native protocol responds with.
Classify = Callable[[EncodedImage], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class ModelQuery:
    """The model that classifies an image, and the number of classes to return.

    Attributes:
        model: None for the default model.
        version: None for the highest version.
        top_k: at least 1.

    Raises:
        ConfigurationError: a version is given without a model.
    """

    model: str | None
    version: str | None
    top_k: int

    def __post_init__(self) -> None:
        if self.version is not None and self.model is None:
            raise ConfigurationError("--model-version needs --model")

    @property
    def path(self) -> str:
        model = "" if self.model is None else f"/models/{quote(self.model, safe='')}"
        version = "" if self.version is None else f"/versions/{quote(self.version, safe='')}"
        return f"{model}{version}/classify?top_k={self.top_k}"


async def classify(
    settings: Settings,
    images: Sequence[Path],
    query: ModelQuery,
    *,
    url: str | None,
    key: str | None,
    as_json: bool,
) -> ExitCode:
    """Print the labels of each image; FAILED if an image cannot be read.

    Args:
        url: a running server to send the images to, with the API key `key`; None loads the models here.

    Raises:
        ConvserveError: no image can be classified.
    """
    if url is not None:
        with HttpClient(url, key=key) as client:
            return await _classify_all(images, _remote(client, query), as_json)
    async with _local(settings, query) as classify_one:
        return await _classify_all(images, classify_one, as_json)


def _remote(client: HttpClient, query: ModelQuery) -> Classify:
    async def classify_one(image: EncodedImage) -> dict[str, Any]:
        response = client.post(query.path, image.data, "application/octet-stream")
        document = response.json()
        if response.status == 400:
            raise InvalidImage(str(document.get("error")))
        if response.status != 200:
            reason = document.get("error", document)
            raise RemoteServerError(f"{client.url} responded with status {response.status}: {reason}")
        document["predictions"][0]["filename"] = image.filename  # the request does not contain it
        return document

    return classify_one


@asynccontextmanager
async def _local(settings: Settings, query: ModelQuery) -> AsyncIterator[Classify]:
    telemetry = ServerMetrics(CollectorRegistry())
    plane = DataPlane.build(settings, telemetry)
    async with Lifecycle(settings, plane, telemetry).opened():
        model = plane.registry.resolve(query.model, query.version)

        async def classify_one(image: EncodedImage) -> dict[str, Any]:
            deadline = asyncio.get_running_loop().time() + settings.request_timeout_ms / 1000
            result = await plane.classifier.classify(
                model, [image], top_k=query.top_k, deadline=deadline, account=Account.unlimited()
            )
            return result.as_dict()

        yield classify_one


async def _classify_all(images: Sequence[Path], classify_one: Classify, as_json: bool) -> ExitCode:
    code = ExitCode.OK
    for path in images:
        try:
            document = await classify_one(EncodedImage(path.read_bytes(), path.name))
        except (OSError, InvalidImage) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            print(printable(f"convserve: {path}: {reason}"), file=sys.stderr)
            code = ExitCode.FAILED
        else:
            print(json.dumps(document) if as_json else _line(path, document))
    return code


def _line(path: Path, document: dict[str, Any]) -> str:
    ranked = document["predictions"][0]["top_k"]
    labels = ", ".join(f"{each['label']} ({each['probability']:.2%})" for each in ranked)
    return printable(f"{path}: {labels}")
