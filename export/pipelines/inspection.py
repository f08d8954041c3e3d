"""Publishes a model with `inspect.onnx`, from which the server explains its answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TextIO

from ..errors import ManifestError, PublishError
from ..inspection.inspect_graph import FILE, InspectGraph, build_inspect_graph
from ..report import explanation_table
from ..repository.manifest import CARD_FILE, GRAPH_FILE, Inspect, Manifest
from ..repository.publish import check_writable, publish
from ..repository.repository_reader import PublishedVersion, read_version

# The server accepts no more layers.
MAX_LAYERS: Final = 1000

Figures = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class InspectionOptions:
    """The command-line options of `inspect`.

    Attributes:
        models: the model repository.
        model: the name, and the version or None for the highest one that is not quantized.
        figures: a file of `convserve faithfulness`; None without figures.
    """

    models: Path
    model: tuple[str, str | None]
    figures: Path | None = None


def publish_inspection(options: InspectionOptions, report: TextIO) -> Path:
    """Publish the same graph with `inspect.onnx` as the next version.

    Returns:
        The folder of the new version.

    Raises:
        ExportError: a step failed; nothing is published.
    """
    parent = read_version(options.models, *options.model)
    check_writable(options.models)
    figures = {} if options.figures is None else _read_figures(options.figures)
    manifest, files = with_inspection(parent.manifest, parent.graph, parent.files(), figures)
    files[CARD_FILE] = explanation_table.insert(_card(parent), figures).encode()
    _report(report, files[FILE], manifest)
    return publish(options.models, manifest, parent.graph, parent.golden_inputs, parent.golden_outputs, files)


def with_inspection(
    manifest: Manifest, graph: bytes, files: Mapping[str, bytes], figures: Figures
) -> tuple[Manifest, dict[str, bytes]]:
    """Add `inspect.onnx` to the files of a version and to its manifest.

    Args:
        figures: how faithful each method is, by name.

    Raises:
        ConversionError: the network has no convolutions.
        ManifestError: the model returns maps, or the network has more layers than the server accepts.
    """
    if manifest.output.kind == "maps":
        raise ManifestError(f"{manifest.name} returns maps; only the answers of classifiers can be explained")
    built = build_inspect_graph(graph, GRAPH_FILE)
    if len(built.layers) > MAX_LAYERS:
        raise ManifestError(f"{manifest.name} has {len(built.layers):,} layers; at most {MAX_LAYERS:,} fit")
    built = _with_known(built, figures)
    names = tuple(layer.name for layer in built.layers)
    return replace(manifest, inspect=Inspect(FILE, names)), {**files, FILE: built.content}


def _with_known(built: InspectGraph, figures: Figures) -> InspectGraph:
    return built.with_figures(figures) if figures else built


def _read_figures(path: Path) -> Figures:
    try:
        document = json.loads(path.read_text())
        figures = document["methods"]
        for each in figures.values():
            explanation_table.offered(each)
            int(each["images"])
    except OSError as error:
        raise PublishError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PublishError(f"{path} is not a file of `convserve faithfulness`") from error
    return {str(name): dict(each) for name, each in figures.items()}


def _card(parent: PublishedVersion) -> str:
    try:
        return (parent.folder / CARD_FILE).read_text()
    except OSError as error:
        raise PublishError(f"{parent.folder / CARD_FILE} cannot be read: {error.strerror}") from error


def _report(report: TextIO, content: bytes, manifest: Manifest) -> None:
    assert manifest.inspect is not None
    report.write(f"{FILE} of {len(content):,} bytes, with {len(manifest.inspect.layers)} layers\n")
    report.flush()
