"""Averages the probabilities of several networks.

D. Cireşan, U. Meier, J. Schmidhuber, Multi-column deep neural networks for image classification, CVPR 2012,
section 2: each member is trained separately, and each may preprocess the images differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from .preprocessing import INPUT

if TYPE_CHECKING:
    import keras


# Less than any probability that matters; its logarithm is finite.
_EPSILON: Final = 1e-30


def average_ensemble(
    members: Sequence[keras.Model], name: str, temperature: float | None = None
) -> keras.Model:
    """Return one network with the mean probabilities of members that take the same pixels.

    The weights are shared with the members. A single member is returned unchanged, under its own name.

    Args:
        members: the members.
        name: the name of the new network.
        temperature: divides the logarithm of the mean probabilities, which are normalized again; None leaves
            them. It has no effect on a single member.
    """
    from keras import Input, Model, layers, ops

    if len(members) == 1:
        return members[0]
    pixels = Input(shape=members[0].input_shape[1:], dtype="uint8", name=INPUT)
    mean = layers.Average()([member(pixels) for member in members])
    if temperature is not None:
        mean = ops.softmax(ops.log(ops.maximum(mean, _EPSILON)) * (1 / temperature))
    return Model(pixels, mean, name=name)
