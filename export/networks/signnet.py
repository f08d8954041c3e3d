"""The DNN of D. Cireşan, U. Meier, J. Masci, J. Schmidhuber, A committee of neural networks for traffic sign
classification, IJCNN 2011, table I, and Multi-column deep neural network for traffic sign classification,
Neural Networks 32, 2012: the winner of the German traffic-sign competition. With 3,755 classes the same won
the ICDAR 2011 competition for handwritten Chinese characters.

Two things are of a later date, for they train in a tenth of the epochs: rectifiers in place of the scaled
hyperbolic tangent, and dropout before the dense layers. Neither has weights. The rectifier stands after the
pooling and not before it: it rises with its argument, and so does the maximum, so that either order gives the
same, and this one computes a quarter of the values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import keras

PARAMETERS: Final = 1_543_443
SIDE: Final = 48


def parameters(classes: int) -> int:
    """How many values are trained: `PARAMETERS` with 43 classes."""
    return PARAMETERS + (300 + 1) * (classes - 43)


def build(classes: int = 43) -> keras.Model:
    """One untrained column: pictures of 48x48x3 in, probabilities out."""
    from keras import Input, Model, layers

    inputs = Input(shape=(SIDE, SIDE, 3))
    x = inputs
    for filters, kernel_size in ((100, 7), (150, 4), (250, 4)):
        x = layers.Conv2D(filters, kernel_size, kernel_initializer="he_uniform")(x)
        x = layers.ReLU()(layers.MaxPooling2D(pool_size=2)(x))
    x = layers.Dropout(0.3)(layers.Flatten()(x))
    x = layers.Dense(300, activation="relu", kernel_initializer="he_uniform")(x)
    x = layers.Dropout(0.3)(x)
    outputs = layers.Dense(classes, activation="softmax", dtype="float32")(x)
    return Model(inputs, outputs, name="signnet")
