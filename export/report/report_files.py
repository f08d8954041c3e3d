"""Builds the plots and the model card that are published next to a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ..datasets.dataset import Examples
from ..evaluation import metrics
from ..repository.manifest import Evaluation, Manifest
from ..training.ensemble import EnsembleMember
from . import model_card, plots

if TYPE_CHECKING:
    import keras

CURVES_FILE: Final = "curves.png"
CONFUSION_FILE: Final = "confusion.png"
KERNELS_FILE: Final = "kernels.png"
MISTAKES_FILE: Final = "mistakes.png"  # shows images of the data set and is ignored by git

_MAX_MISTAKES: Final = 40


def build(
    manifest: Manifest,
    members: Sequence[EnsembleMember],
    probabilities: NDArray[np.float32],
    test: Examples,
) -> Mapping[str, bytes]:
    """Return the content of each file by name.

    Args:
        manifest: a manifest with the sections `training` and `evaluation`.
        members: the members of the ensemble.
        probabilities: the graph's outputs for the test set, [examples, classes].
        test: the test set.

    Raises:
        DatasetError: too many images cannot be read.
    """
    assert manifest.training is not None
    assert manifest.evaluation is not None
    title = f"{manifest.name} on {manifest.training.dataset}"
    plotted = {
        CURVES_FILE: plots.curves(
            [member.curves for member in members],
            f"{title}, {manifest.training.examples:,} training images",
        ),
        CONFUSION_FILE: plots.confusion(
            metrics.confusion(probabilities, test.labels),
            manifest.labels,
            f"{title}: {format_accuracy(manifest.evaluation)}",
        ),
        KERNELS_FILE: plots.kernels(
            [_first_kernels(member.network) for member in members], f"{title}: kernels of the first layer"
        ),
        **_mistakes(manifest, probabilities, test, title),
    }
    shown = [name for name in plotted if name != MISTAKES_FILE]
    return {**plotted, model_card.FILE: model_card.render(manifest, shown, len(members)).encode()}


def format_accuracy(evaluation: Evaluation) -> str:
    return f"accuracy {evaluation.accuracy:.2%} on {evaluation.examples:,} test images"


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
    return {MISTAKES_FILE: plots.mistakes(pixels, captions, heading)}


def _shorten(label: str, max_length: int = 26) -> str:
    return label if len(label) <= max_length else label[: max_length - 1] + "…"


def _first_kernels(network: keras.Model) -> NDArray[np.float32]:
    from keras import layers

    first = next(layer for layer in network.layers if isinstance(layer, layers.Conv2D))
    return np.asarray(first.kernel)
