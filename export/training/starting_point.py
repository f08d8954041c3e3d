"""Reads the weights that a training starts from back from a published version."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import ConversionError, UsageError, VerificationError
from ..evaluation import verify
from ..graph.member_weights import Weights, member_graph, member_weights
from ..graph.ort_session import OrtSession
from ..graph.rewrites import FOLDED_SCALING
from ..networks.preprocessing import Preprocessing, from_pixels
from ..repository.repository_reader import PublishedVersion, read_version
from .ensemble import StartingPoint

if TYPE_CHECKING:
    import keras

# Keras and the graph sum in another order, and a scaling that is undone rounds once more.
_TOLERANCE: Final = 1e-4


def load_starting_point(
    name: str,
    build: Callable[[], keras.Model],
    preprocessings: Sequence[Preprocessing],
    count: int,
    labels: Sequence[str],
    models: Path,
    start_from: str,
) -> StartingPoint:
    """Read the weights of the version that `start_from` names.

    Each member is built in Keras and compared with its part of the graph on the golden inputs.

    Args:
        name: the model.
        build: builds one untrained member.
        preprocessings: the preprocessing of each member; repeated if there are more members.
        count: the number of members.
        labels: the labels of the data set.
        models: the model repository.
        start_from: a version of the model, or of another one with its name, as "2" or "signnet/2".

    Raises:
        UsageError: the version has other labels or fewer members.
        PublishError: the version cannot be read.
        ConversionError: it is another network, or its graph was changed so that weights cannot be read back.
        VerificationError: a member built from the weights differs from the graph.
    """
    other, _, version = start_from.rpartition("/")
    published = read_version(models, other or name, version)
    title = f"{published.manifest.name}/{published.version}"
    if published.manifest.labels != tuple(labels):
        raise UsageError(
            f"--start-from {start_from}: {title} has {len(published.manifest.labels):,} labels that "
            f"are not the {len(labels):,} of the data set"
        )
    found = member_weights(published.graph)
    if len(found) < count:
        raise UsageError(
            f"--start-from {start_from}: {title} has {len(found)} of the {count} members; "
            f"pass --members {len(found)}"
        )
    members = []
    for index in range(count):
        preprocess = preprocessings[index % len(preprocessings)]
        weights = found[index]
        if FOLDED_SCALING in published.manifest.rewrites:
            weights = _without_scaling(weights, preprocess)
        network = build()
        shapes = [tuple(array.shape) for array in network.get_weights()]
        if [array.shape for array in weights] != shapes:
            raise ConversionError(f"{title} is another network than {network.name}; its weights do not fit")
        network.set_weights(weights)
        _check_member(published, index, from_pixels(network, preprocess), title)
        members.append(weights)
    return StartingPoint(
        title,
        hashlib.sha256(published.graph).hexdigest(),
        members,
        published.manifest.training,
    )


def _check_member(published: PublishedVersion, index: int, network: keras.Model, title: str) -> None:
    inputs = published.golden_inputs
    expected = OrtSession(member_graph(published.graph, index)).run_batches(inputs)
    difference = float(np.abs(verify.predict_keras(network, inputs) - expected).max())
    if not difference <= _TOLERANCE:
        raise VerificationError(
            f"member {index + 1} of {title} cannot be read back from its graph: built from its weights, its "
            f"probabilities differ by up to {difference:.1e}"
        )


def _without_scaling(weights: Weights, preprocess: Preprocessing) -> list[NDArray[np.float32]]:
    """Undo the scaling of pixels, which the graph has in the kernel and the bias of the first convolution."""
    kernel, bias, *others = weights
    black = np.zeros((1, 1, 1, kernel.shape[2]), np.float32)
    offset, white = (
        np.asarray(preprocess(pixels), np.float64).reshape(-1) for pixels in (black, black + 255)
    )
    unscaled = kernel / ((white - offset) / 255)[:, np.newaxis]
    added = unscaled.sum(axis=(0, 1)).T @ offset
    return [unscaled.astype(np.float32), (bias - added).astype(np.float32), *others]
