"""Evaluates an imported graph, and chooses its example image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TextIO

import numpy as np
from numpy.typing import NDArray

from ..datasets import synthetic_images
from ..datasets.labelled_images import LabelledImages
from ..datasets.server_input import as_input
from ..evaluation.report import EvaluationReport, evaluate_graph
from ..graph.ort_session import OrtSession
from ..graph.preprocessing import draw_smooth_images
from ..report import report_files
from ..repository.manifest import Example, Manifest

EXAMPLE_FILE: Final = "example.png"


@dataclass(frozen=True)
class Evidence:
    """The manifest of a graph with its evaluation and its example, and the files that belong to them."""

    manifest: Manifest
    files: Mapping[str, bytes]


def collect(graph: bytes, manifest: Manifest, images: LabelledImages | None, report: TextIO) -> Evidence:
    """Evaluate a graph on labelled images, and choose one of them as its example.

    Without images, the example is drawn.

    Args:
        graph: the ONNX file.
        manifest: its manifest.
        images: the images; None if there are none.
        report: receives a line about the accuracy.

    Raises:
        DatasetError: no image can be read.
    """
    files: dict[str, bytes] = {}
    if images is None:
        example = draw_smooth_images(manifest.input)[0]
    else:
        results = evaluate_graph(graph, manifest, manifest.name, images)
        manifest = replace(manifest, evaluation=results.evaluation())
        report.write(_describe(results))
        report.flush()
        files.update(report_files.evaluation_plots(results, manifest.name))
        example = _right_image(results, images, manifest)
    scores = OrtSession(graph).run(as_input(example[np.newaxis], manifest.input))
    manifest = replace(manifest, example=Example(EXAMPLE_FILE, manifest.labels[int(scores.argmax())]))
    return Evidence(manifest, {**files, EXAMPLE_FILE: synthetic_images.png(example)})


def _describe(results: EvaluationReport) -> str:
    evaluation = results.evaluation()
    skipped = f", {len(results.unreadable):,} cannot be read" if results.unreadable else ""
    return (
        f"{results.dataset}: {report_files.format_accuracy(evaluation)}{skipped}, "
        f"calibration error {evaluation.calibration_error:.2%}\n"
    )


def _right_image(results: EvaluationReport, images: LabelledImages, manifest: Manifest) -> NDArray[np.uint8]:
    """Return the first image that is classified right, or the first one."""
    right = int((results.predictions == results.labels).argmax())
    place = list(images.names).index(results.names[right])
    pixels, _ = images.read(np.array([place]), manifest.input)
    image: NDArray[np.uint8] = pixels[0]
    return image
