"""Several columns that vote: the mean of their probabilities.

D. Cireşan, U. Meier, J. Schmidhuber, Multi-column deep neural networks for image classification, CVPR 2012,
section 2: each column is trained alone, on pictures prepared in its own way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .preprocessing import INPUT

if TYPE_CHECKING:
    import keras


def committee(columns: Sequence[keras.Model], name: str) -> keras.Model:
    """One network of columns that take the same pixels; of one column, that column itself.

    The weights are shared with the columns.
    """
    from keras import Input, Model, layers

    if len(columns) == 1:
        return columns[0]
    pixels = Input(shape=columns[0].input_shape[1:], dtype="uint8", name=INPUT)
    return Model(pixels, layers.Average()([column(pixels) for column in columns]), name=name)
