"""Converts, verifies and publishes a classifier of Keras or TensorFlow from a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from ..datasets.labelled_images import LabelledImages
from ..errors import UsageError
from ..graph import io_edits
from ..graph.ort_session import OrtSession
from ..graph.preprocessing import draw_smooth_images, preprocess
from ..importing.fitted_graph import FittedGraph, fit_graph
from ..importing.from_keras.keras_file import SUFFIXES, first_kernels, read_keras
from ..importing.from_keras.network import KerasNetwork, simplify
from ..importing.from_keras.normalisation import ask_back
from ..importing.from_keras.saved_model import is_saved_model, read_saved_model
from ..importing.from_keras.witness import check_parity
from ..importing.history import read_history
from ..importing.input_plan import InputPlan, plan_input
from ..importing.label_file import check_count, describe_duplicates, read_labels
from ..importing.normalisation import normalises_itself
from ..importing.options import ImportOptions
from ..importing.publication import describe, load_images, model_name, publish_fitted
from ..report import curves, kernels, report_files
from ..repository.labels_before import check_labels
from ..repository.manifest import Parity
from ..repository.publish import check_writable
from ..training.backend import start_tensorflow
from ..training.checkpoint import Curves

# Images of --data that Keras and the graph are compared on; all are evaluated.
MAX_COMPARED: Final = 256


def is_keras(path: Path) -> bool:
    """Return True if the path names a file of Keras or the folder of a SavedModel."""
    return path.suffix.lower() in SUFFIXES or is_saved_model(path)


def import_keras(options: ImportOptions, report: TextIO) -> Path:
    """Convert a classifier and publish it as the next version of its name.

    The golden outputs are those of Keras, or of TensorFlow for a SavedModel.

    Returns:
        The folder of the new version.

    Raises:
        ExportError: the file cannot be read or converted, contradicts the options, or the graph differs from
            it; nothing is published.
    """
    name = model_name(options)
    if options.labels is None:
        raise UsageError("a Keras file does not name its classes; pass --labels FILE with one label per line")
    labels = read_labels(options.labels)
    history = None if options.history is None else read_history(options.history)
    check_writable(options.models)
    check_labels(options.models, name, labels, replace=options.replace_labels)
    start_tensorflow()
    read = read_keras if options.source.suffix.lower() in SUFFIXES else read_saved_model
    network = read(options.source, options.output)
    plan = plan_input(network.input, options)
    if network.classes is not None:
        check_count(labels, network.classes, options.labels)
    model, rewrites = _convert(network, plan, options)
    fitted = fit_graph(model, labels, options)
    images = load_images(fitted, options)
    parity, expected = _compare(network, plan, fitted, images)
    describe(fitted, report)
    witness = "Keras" if network.model is not None else "TensorFlow"
    report.write(f"within {parity.max_abs_difference:.1e} of {witness} on {parity.examples:,} images\n")
    if network.normalises and options.normalises and not options.raw_pixels:
        report.write("note: the network scales pixels itself, after what the options do\n")
    if duplicates := describe_duplicates(labels):
        report.write(f"note: {duplicates}\n")
    return publish_fitted(
        fitted,
        expected,
        options,
        report,
        images=images,
        parity=parity,
        rewrites=rewrites,
        files=_plots(network, name, history),
    )


def _convert(
    network: KerasNetwork, plan: InputPlan, options: ImportOptions
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Convert the network; one that takes pixels from 0 to 255 gets them as uint8.

    Returns:
        The graph and the names of the rewrites.

    Raises:
        UsageError: neither the network nor an option tells how pixels are normalised.
        ConversionError: a layer has no equivalent in ONNX.
    """
    untold = plan.spec.dtype == "float32" and not options.normalises
    if untold and network.normalises is False:
        raise UsageError(ask_back(network, options.source, plan.spec.channels))
    model = network.to_onnx(options.size)
    if untold and network.normalises is None and not normalises_itself(model):
        raise UsageError(ask_back(network, options.source, plan.spec.channels))
    simple, rewrites = simplify(model)
    if plan.spec.dtype == "float32" and (untold or options.raw_pixels):
        io_edits.cast_input(simple, TensorProto.UINT8)
    return simple, rewrites


def _compare(
    network: KerasNetwork, plan: InputPlan, fitted: FittedGraph, images: LabelledImages | None
) -> tuple[Parity, NDArray[np.float32]]:
    """Compare the graph with the network on the golden inputs, and on given or drawn images.

    Returns:
        The comparison, and the network's scores for the golden inputs.
    """
    if images is None:
        pixels = draw_smooth_images(fitted.input)
    else:
        chosen = images.limit(MAX_COMPARED)
        pixels, _ = chosen.read(np.arange(len(chosen)), fitted.input)
    inputs = np.concatenate([fitted.inputs, preprocess(pixels, fitted.input)])

    def witness(values: NDArray[Any]) -> NDArray[np.float32]:
        scores = network.predict(plan.original(values))
        return fitted.scores.apply(scores.reshape(len(scores), -1))

    expected = witness(inputs)
    found = OrtSession(fitted.graph).run_batches(inputs, fitted.max_batch_size)
    parity = check_parity(expected, found, "Keras" if network.model is not None else "TensorFlow")
    return parity, expected[: len(fitted.inputs)]


def _plots(network: KerasNetwork, name: str, history: Curves | None) -> Mapping[str, bytes]:
    """Plot the learning curves and the kernels of the first layer, where there are any."""
    files = {}
    if history is not None:
        files[report_files.CURVES_FILE] = curves.plot([history], name, own=False)
    weights = None if network.model is None else first_kernels(network.model)
    if weights is not None:
        files[report_files.KERNELS_FILE] = kernels.plot([weights], f"{name}: kernels of the first layer")
    return files
