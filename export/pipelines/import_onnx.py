"""Validates and publishes an ONNX classifier from another source."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import onnx

from ..errors import UsageError
from ..importing.fitted_graph import fit_graph, open_source
from ..importing.input_plan import plan_input
from ..importing.label_file import describe_duplicates, read_labels
from ..importing.normalisation import ask_back
from ..importing.onnx_file import read_onnx
from ..importing.options import ImportOptions
from ..importing.output_selection import select_output
from ..importing.publication import describe, load_images, model_name, publish_fitted
from ..repository.labels_before import check_labels
from ..repository.publish import check_writable


def import_onnx(options: ImportOptions, report: TextIO) -> Path:
    """Validate an ONNX classifier and publish it as the next version of its name.

    Returns:
        The folder of the new version.

    Raises:
        ExportError: the graph cannot be read or run, or contradicts the options; nothing is published.
    """
    name = model_name(options)
    model = read_onnx(options.source)
    own_labels = select_output(model, options.output)
    labels = _labels(options.labels, own_labels)
    check_writable(options.models)
    check_labels(options.models, name, labels, replace=options.replace_labels)
    _check_normalisation(model, options)
    fitted = fit_graph(model, labels, options)
    describe(fitted, report)
    if duplicates := describe_duplicates(labels):
        report.write(f"note: {duplicates}\n")
    images = load_images(fitted, options)
    return publish_fitted(fitted, fitted.outputs, options, report, images=images)


def _labels(path: Path | None, own: tuple[str, ...]) -> tuple[str, ...]:
    """Return the labels of the file, or else those of the graph."""
    if path is not None:
        return read_labels(path)
    if own:
        return own
    raise UsageError("the graph does not name its classes; pass --labels FILE with one label per line")


def _check_normalisation(model: onnx.ModelProto, options: ImportOptions) -> None:
    """Check that the normalisation is known: nothing in the graph tells the range of its float32 input."""
    if options.normalises:
        return
    spec = plan_input(open_source(model, []).input, options).spec
    if spec.dtype == "float32":
        raise ask_back(model, spec.channels, options.source)
