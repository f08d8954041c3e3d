"""The commands `convserve explain` and `convserve faithfulness`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from prometheus_client import CollectorRegistry

from ..client_budget import Account
from ..config.settings import Settings
from ..errors import ConfigurationError, InvalidImage, InvalidInput, RemoteServerError
from ..explain.explainer import Explainer
from ..explain.faithfulness import measure_faithfulness
from ..explain.inspector import Inspector
from ..explain.rendering.documents import explanation_document
from ..explain.rendering.pictures import draw_explanation
from ..explain.request import ExplainOptions
from ..http_client import HttpClient
from ..imaging.decode_pool import EncodedImage
from ..inference.data_plane import DataPlane
from ..inference.model import LoadedModel
from ..lifecycle.lifecycle import Lifecycle
from ..system.printable import printable
from ..telemetry.metrics import ServerMetrics
from .exit_codes import ExitCode

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")


@dataclass(frozen=True, slots=True)
class ExplainQuery:
    """The model and the parameters of an explanation.

    Raises:
        ConfigurationError: a version is given without a model, or a server without a model.
    """

    model: str | None = None
    version: str | None = None
    options: ExplainOptions = field(default_factory=ExplainOptions)

    def __post_init__(self) -> None:
        if self.version is not None and self.model is None:
            raise ConfigurationError("--model-version needs --model")

    def path(self, kind: str) -> str:
        """The path at a server; `kind` is the format of the response."""
        if self.model is None:
            raise ConfigurationError("--url needs --model")
        version = "" if self.version is None else f"/versions/{quote(self.version, safe='')}"
        values = {
            "method": self.options.method,
            "layer": self.options.layer,
            "label": self.options.label,
            "versus": self.options.versus,
            "curves": "true" if self.options.curves else None,
            "flip": "true" if self.options.flip else None,
            "format": kind,
        }
        query = urlencode({name: value for name, value in values.items() if value is not None})
        return f"/models/{quote(self.model, safe='')}{version}/explain?{query}"


async def explain(
    settings: Settings,
    image: Path,
    output: Path | None,
    query: ExplainQuery,
    *,
    url: str | None,
    key: str | None,
    as_json: bool,
) -> ExitCode:
    """Explain the label of an image: print a sentence or JSON, and write the picture of the map.

    Args:
        output: the PNG file of the map; None writes none.
        url: a running server to send the image to, with the API key `key`; None loads the models here.

    Raises:
        ConvserveError: the image cannot be read or explained.
    """
    try:
        encoded = EncodedImage(image.read_bytes(), image.name)
    except OSError as error:
        raise InvalidImage(f"{image}: {error.strerror}") from error
    if url is not None:
        with HttpClient(url, key=key) as client:
            document = json.loads(_requested(client, query.path("json"), encoded))
            picture = None if output is None else _requested(client, query.path("png"), encoded)
    else:
        document, picture = await _explained_here(settings, encoded, query)
    if output is not None and picture is not None:
        try:
            output.write_bytes(picture)
        except OSError as error:
            raise ConfigurationError(f"{output} cannot be written: {error.strerror}") from error
    print(json.dumps(document) if as_json else _sentence(image, document))
    return ExitCode.OK


async def faithfulness(settings: Settings, folder: Path, output: Path, query: ExplainQuery) -> ExitCode:
    """Measure the methods for a model on the images of a folder, and write the figures as JSON.

    Raises:
        ConvserveError: an image cannot be read, or the network failed.
    """
    paths = sorted(each for each in folder.rglob("*") if each.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise ConfigurationError(f"{folder} contains no images")
    images = [EncodedImage(path.read_bytes(), path.name) for path in paths]
    figures: dict[str, Any] = {}
    async with _opened(settings, query) as (plane, explainer, model):
        count = 0
        async for measured in measure_faithfulness(explainer, plane.classifier, model, images):
            figures, count = measured, count + 1
            if sys.stderr.isatty():
                print(f"\r{count} of {len(images)} images", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    output.write_text(json.dumps(figures, indent=2) + "\n")
    print("\n".join(_table(figures)))
    return ExitCode.OK


def _requested(client: HttpClient, path: str, image: EncodedImage) -> bytes:
    response = client.post(path, image.data, "application/octet-stream")
    if response.status == 200:
        return response.body
    reason = response.json().get("error")
    if response.status == 400:
        raise InvalidInput(str(reason))
    raise RemoteServerError(f"{client.url} responded with status {response.status}: {reason}")


async def _explained_here(
    settings: Settings, image: EncodedImage, query: ExplainQuery
) -> tuple[dict[str, Any], bytes]:
    async with _opened(settings, query) as (_, explainer, model):
        deadline = asyncio.get_running_loop().time() + settings.request_timeout_ms / 1000
        explanation = await explainer.explain(
            model, image, query.options, deadline=deadline, account=Account.unlimited()
        )
        return explanation_document(explanation, model), draw_explanation(explanation)


@asynccontextmanager
async def _opened(
    settings: Settings, query: ExplainQuery
) -> AsyncIterator[tuple[DataPlane, Explainer, LoadedModel]]:
    telemetry = ServerMetrics(CollectorRegistry())
    plane = DataPlane.build(settings, telemetry)
    explainer = Explainer(plane.classifier, Inspector(settings.explain_bytes))
    async with Lifecycle(settings, plane, telemetry).opened():
        try:
            yield plane, explainer, plane.registry.resolve(query.model, query.version)
        finally:
            explainer.close()


def _sentence(image: Path, document: dict[str, Any]) -> str:
    layer = "" if document["layer"] is None else f" at {document['layer']}"
    versus = "" if document["versus"] is None else f" and not {document['versus']['label']}"
    text = f"{image}: {document['label']}{versus}, by {document['method']}{layer}: {document['words']}"
    if document["exact"]:
        text += f"; the cells and {document['base']:.3g} add up to the score {document['score']:.4g}"
    return printable(text)


def _table(figures: dict[str, Any]) -> list[str]:
    methods: dict[str, dict[str, Any]] = figures["methods"]
    rivals = next(iter(methods.values()))
    rows = {**methods, "a random map": rivals["random"], "a bright centre": rivals["gaussian"]}
    lines = [f"{'map':<16}{'layer':<10}{'deletion':>9}{'insertion':>10}"]
    for name, each in rows.items():
        layer = each.get("layer") or ""
        lines.append(f"{name:<16}{layer:<10}{each['deletion']:>9.3f}{each['insertion']:>10.3f}")
    return lines
