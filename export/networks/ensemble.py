"""Averages the probabilities of several networks.

D. Cireşan, U. Meier, J. Schmidhuber, Multi-column deep neural networks for image classification, CVPR 2012,
section 2: each member is trained separately, and each may preprocess the images differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .preprocessing import INPUT

if TYPE_CHECKING:
    import keras


def average_ensemble(members: Sequence[keras.Model], name: str) -> keras.Model:
    """Return one network with the mean probabilities of members that take the same pixels.

    The weights are shared with the members. A single member is returned unchanged, under its own name.
    """
    from keras import Input, Model, layers

    if len(members) == 1:
        return members[0]
    pixels = Input(shape=members[0].input_shape[1:], dtype="uint8", name=INPUT)
    return Model(pixels, layers.Average()([member(pixels) for member in members]), name=name)
