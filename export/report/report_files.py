"""Builds the plots and the model card that are published next to a model."""

from __future__ import annotations

import io
import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..datasets.dataset import Examples
from ..evaluation import metrics
from ..evaluation.report import EvaluationReport
from ..repository.manifest import Evaluation, Manifest
from ..training.checkpoint import Curves
from ..training.ensemble import EnsembleMember
from . import confusion, curves, kernels, mistakes, model_card, reliability

if TYPE_CHECKING:
    import keras

CURVES_FILE: Final = "curves.png"
CURVES_DATA_FILE: Final = "curves.json"
CONFUSION_FILE: Final = "confusion.png"
RELIABILITY_FILE: Final = "reliability.png"
KERNELS_FILE: Final = "kernels.png"
MISTAKES_FILE: Final = "mistakes.png"  # shows images of the data set and is ignored by git

_SHOWN: Final = (CURVES_FILE, CONFUSION_FILE, RELIABILITY_FILE, KERNELS_FILE)
_MAX_MISTAKES: Final = 40


def build(
    manifest: Manifest,
    graph: bytes,
    members: Sequence[EnsembleMember],
    probabilities: NDArray[np.float32],
    test: Examples,
    notes: Sequence[str],
) -> Mapping[str, bytes]:
    """Return the content of each file by name.

    Args:
        manifest: a manifest with the sections `training` and `evaluation`.
        graph: the ONNX file.
        members: the members of the ensemble.
        probabilities: the graph's outputs for the test set, [examples, classes].
        test: the test set.
        notes: sentences for the model card.

    Raises:
        DatasetError: too many images cannot be read.
    """
    assert manifest.training is not None
    assert manifest.evaluation is not None
    title = f"{manifest.name} on {manifest.training.dataset}"
    files = {
        **_curves([member.curves for member in members], manifest, title),
        **_test_plots(
            probabilities, test.labels, manifest.labels, f"{title}: {format_accuracy(manifest.evaluation)}"
        ),
        KERNELS_FILE: kernels.plot(
            [_first_kernels(member.network) for member in members], f"{title}: kernels of the first layer"
        ),
        **_mistakes(manifest, probabilities, test, title),
    }
    card = model_card.render(manifest, graph, pictures(files), notes=notes)
    return {**files, model_card.FILE: card.encode()}


def evaluation_plots(report: EvaluationReport, name: str) -> Mapping[str, bytes]:
    """Return the plots of an evaluation by name."""
    title = f"{name} on {report.dataset}: {format_accuracy(report.evaluation())}"
    return _test_plots(report.probabilities, report.labels, report.class_names, title)


def pictures(files: Container[str]) -> Sequence[str]:
    """Return the names of the files that a model card shows."""
    return [name for name in _SHOWN if name in files]


def side_by_side(plots: Sequence[bytes]) -> bytes:
    """Return one PNG file with several plots beside each other."""
    images = [Image.open(io.BytesIO(plot)).convert("RGB") for plot in plots]
    joined = Image.new(
        "RGB", (sum(image.width for image in images), max(image.height for image in images)), "white"
    )
    left = 0
    for image in images:
        joined.paste(image, (left, 0))
        left += image.width
    buffer = io.BytesIO()
    joined.quantize(256, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def format_accuracy(evaluation: Evaluation) -> str:
    return f"accuracy {evaluation.accuracy:.2%} on {evaluation.examples:,} test images"


def _curves(members: Sequence[Curves], manifest: Manifest, title: str) -> Mapping[str, bytes]:
    assert manifest.training is not None
    data = {"members": [asdict(member) for member in members]}
    return {
        CURVES_FILE: curves.plot(members, f"{title}, {manifest.training.examples:,} training images"),
        CURVES_DATA_FILE: (json.dumps(data) + "\n").encode(),
    }


def _test_plots(
    probabilities: NDArray[np.float32], truth: NDArray[np.int64], labels: Sequence[str], title: str
) -> Mapping[str, bytes]:
    return {
        CONFUSION_FILE: confusion.plot(metrics.confusion(probabilities, truth), labels, title),
        RELIABILITY_FILE: reliability.plot(probabilities, truth, title),
    }


def _mistakes(
    manifest: Manifest, probabilities: NDArray[np.float32], test: Examples, title: str
) -> Mapping[str, bytes]:
    """Plot the wrong predictions with the highest probability; empty without mistakes."""
    (wrong,) = np.nonzero(probabilities.argmax(axis=1) != test.labels)
    if not len(wrong):
        return {}
    worst = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")][:_MAX_MISTAKES]
    pixels, kept = test.read(worst)
    captions = [
        f"{_shorten(manifest.labels[int(test.labels[index])])}\n"
        f"→ {_shorten(manifest.labels[int(probabilities[index].argmax())])} {probabilities[index].max():.0%}"
        for index in kept
    ]
    heading = f"{title}: the worst {len(kept)} of {len(wrong):,} mistakes, true label → predicted"
    return {MISTAKES_FILE: mistakes.plot(pixels, captions, heading)}


def _shorten(label: str, max_length: int = 26) -> str:
    return label if len(label) <= max_length else label[: max_length - 1] + "…"


def _first_kernels(network: keras.Model) -> NDArray[np.float32]:
    from keras import layers

    first = next(layer for layer in network.layers if isinstance(layer, layers.Conv2D))
    return np.asarray(first.kernel)
