"""What lies beside a model for people to look at, all made from what its manifest says and its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from . import metrics, plots
from .columns import Column
from .datasets import Examples
from .manifest import Evaluation, Manifest

CURVES_FILE: Final = "curves.png"
CONFUSION_FILE: Final = "confusion.png"


def files(
    manifest: Manifest, columns: Sequence[Column], answers: NDArray[np.float32], test: Examples
) -> Mapping[str, bytes]:
    """All of it by the names of the files."""
    assert manifest.training is not None
    assert manifest.evaluation is not None
    title = f"{manifest.name} on {manifest.training.dataset}"
    counts = metrics.confusion(answers, test.labels)
    return {
        CURVES_FILE: plots.curves(
            [column.curves for column in columns],
            f"{title}, {manifest.training.examples:,} training pictures",
        ),
        CONFUSION_FILE: plots.confusion(counts, manifest.labels, f"{title}: {score(manifest.evaluation)}"),
    }


def score(evaluation: Evaluation) -> str:
    """Accuracy and on how many pictures, as part of a sentence."""
    return f"accuracy {evaluation.accuracy:.2%} on {evaluation.examples:,} test pictures"
