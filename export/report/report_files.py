"""What lies beside a model for people to look at, all made from what its manifest says and its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ..datasets.dataset import Examples
from ..evaluation import metrics
from ..repository.manifest import Evaluation, Manifest
from ..training.ensemble import Column
from . import model_card, plots

if TYPE_CHECKING:
    import keras

CURVES_FILE: Final = "curves.png"
CONFUSION_FILE: Final = "confusion.png"
KERNELS_FILE: Final = "kernels.png"
MISTAKES_FILE: Final = "mistakes.png"  # shows pictures of the data set, so git ignores it

_WORST: Final = 40


def files(
    manifest: Manifest, columns: Sequence[Column], answers: NDArray[np.float32], test: Examples
) -> Mapping[str, bytes]:
    """All of it by the names of the files."""
    assert manifest.training is not None
    assert manifest.evaluation is not None
    title = f"{manifest.name} on {manifest.training.dataset}"
    plotted = {
        CURVES_FILE: plots.curves(
            [column.curves for column in columns],
            f"{title}, {manifest.training.examples:,} training pictures",
        ),
        CONFUSION_FILE: plots.confusion(
            metrics.confusion(answers, test.labels),
            manifest.labels,
            f"{title}: {score(manifest.evaluation)}",
        ),
        KERNELS_FILE: plots.kernels(
            [_first_kernels(column.network) for column in columns], f"{title}: kernels of the first layer"
        ),
        **_mistakes(manifest, answers, test, title),
    }
    shown = [name for name in plotted if name != MISTAKES_FILE]
    return {**plotted, model_card.FILE: model_card.written(manifest, shown, len(columns)).encode()}


def score(evaluation: Evaluation) -> str:
    """Accuracy and on how many pictures, as part of a sentence."""
    return f"accuracy {evaluation.accuracy:.2%} on {evaluation.examples:,} test pictures"


def _mistakes(
    manifest: Manifest, answers: NDArray[np.float32], test: Examples, title: str
) -> Mapping[str, bytes]:
    """The wrong answers that were given with the least doubt, worst first; nothing where none is."""
    (wrong,) = np.nonzero(answers.argmax(axis=1) != test.labels)
    if not len(wrong):
        return {}
    worst = wrong[np.argsort(-answers[wrong].max(axis=1), kind="stable")][:_WORST]
    pixels, kept = test.read(worst)
    captions = [
        f"{_short(manifest.labels[int(test.labels[index])])}\n"
        f"→ {_short(manifest.labels[int(answers[index].argmax())])} {answers[index].max():.0%}"
        for index in kept
    ]
    heading = f"{title}: the worst {len(kept)} of {len(wrong):,} mistakes, true label → predicted"
    return {MISTAKES_FILE: plots.mistakes(pixels, captions, heading)}


def _short(label: str, most: int = 26) -> str:
    return label if len(label) <= most else label[: most - 1] + "…"


def _first_kernels(network: keras.Model) -> NDArray[np.float32]:
    from keras import layers

    first = next(layer for layer in network.layers if isinstance(layer, layers.Conv2D))
    return np.asarray(first.kernel)
