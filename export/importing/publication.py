"""Publishes a fitted graph."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from ..datasets.labelled_images import LabelledImages, load_test_images
from ..report import model_card, report_files
from ..repository.manifest import Manifest, Parity, check_name
from ..repository.publish import publish
from .evidence import collect
from .fitted_graph import FittedGraph
from .options import ImportOptions


def model_name(options: ImportOptions) -> str:
    """Return the model's name: that of the option, or else that of the file.

    Raises:
        ManifestError: it is not valid.
    """
    name = options.name or _default_name(options.source)
    check_name(name)
    return name


def _default_name(path: Path) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("._-")[:64] or "imported"


def describe(fitted: FittedGraph, report: TextIO) -> None:
    """Write what was found out about the graph, and what was changed."""
    spec = fitted.input
    size = f"{spec.height}x{spec.width}x{spec.channels}"
    report.write(
        f"input {spec.dtype} {spec.layout} {size}, output {fitted.output.kind} of {len(fitted.labels):,} "
        f"classes, maximum batch size {fitted.max_batch_size}\n"
    )
    for note in fitted.notes:
        report.write(f"note: {note}\n")
    report.flush()


def load_images(fitted: FittedGraph, options: ImportOptions) -> LabelledImages | None:
    """Return the images of --data, or None without them.

    Raises:
        DatasetError: there are none, or their classes are not among the labels.
    """
    if options.data is None:
        return None
    return load_test_images(options.data, fitted.labels, fitted.input)


def publish_fitted(
    fitted: FittedGraph,
    outputs: NDArray[np.float32],
    options: ImportOptions,
    report: TextIO,
    *,
    images: LabelledImages | None = None,
    parity: Parity | None = None,
    rewrites: Sequence[str] = (),
    files: Mapping[str, bytes] = {},
) -> Path:
    """Evaluate a fitted graph, and publish it with its evidence as the next version of its name.

    Args:
        fitted: the graph.
        outputs: the golden outputs for its inputs, of the original network.
        options: the options of the command line.
        report: receives a line about the accuracy.
        images: the images to evaluate on.
        parity, rewrites: sections of the manifest.
        files: plots for the model card.

    Returns:
        The folder of the new version.

    Raises:
        ExportError: no image can be read, the manifest is invalid, or the repository cannot be written;
            nothing is published.
    """
    manifest = Manifest(
        name=model_name(options),
        description=options.description or f"Imported from {options.source.name}.",
        input=fitted.input,
        output=fitted.output,
        labels=fitted.labels,
        max_batch_size=fitted.max_batch_size,
        opset=fitted.opset,
        parameters=fitted.parameters,
        tolerance=fitted.tolerance * max(float(np.abs(outputs).max()), 1e-3),
        parity=parity,
        weights="imported",
        rewrites=tuple(rewrites),
    )
    evidence = collect(fitted.graph, manifest, images, report)
    contents = {**files, **evidence.files}
    card = model_card.render(evidence.manifest, fitted.graph, report_files.pictures(contents))
    contents[model_card.FILE] = card.encode()
    return publish(options.models, evidence.manifest, fitted.graph, fitted.inputs, outputs, contents)
