"""The DNN of D. Cireşan, U. Meier, J. Masci, J. Schmidhuber, A committee of neural networks for traffic sign
classification, IJCNN 2011, table I, and Multi-column deep neural network for traffic sign classification,
Neural Networks 32, 2012: the winner of the German traffic-sign competition. With 3,755 classes it won the
ICDAR 2011 competition for handwritten Chinese characters.

Two changes reduce the number of epochs to a tenth: ReLU in place of the scaled hyperbolic tangent, and
dropout before the dense layers. Neither has weights. ReLU follows the pooling: both orders give the same
result, because ReLU is monotonic, and this one computes a quarter of the values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import keras

PARAMETERS: Final = 1_543_443
SIDE: Final = 48


def parameters(classes: int) -> int:
    """Return the number of trained values, `PARAMETERS` with 43 classes."""
    return PARAMETERS + (300 + 1) * (classes - 43)


def build(classes: int = 43) -> keras.Model:
    """Build one untrained ensemble member, from [batch, 48, 48, 3] to probabilities, [batch, classes]."""
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
