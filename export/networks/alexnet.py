"""A. Krizhevsky, I. Sutskever, G. Hinton: ImageNet Classification with Deep Convolutional Neural Networks.

NIPS 2012, sections 3.1 to 3.5 and 4.2. Layers 2, 4 and 5 have two groups, one per GPU of the authors. The
input is 227x227 as in the authors' code. The 224x224 of the figure do not give the 55x55 of the first layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import keras

SIDE: Final = 227
CLASSES: Final = 1000


@dataclass(frozen=True)
class Initialization:
    """The initial weights.

    Attributes:
        deviation: the standard deviation of the kernels; None for He initialization.
        bias: the bias of the layers with a positive bias in the paper: the second, fourth and fifth
            convolution and the hidden dense layers.
    """

    deviation: float | None
    bias: float

    def kernel(self) -> keras.initializers.Initializer:
        from keras import initializers

        if self.deviation is None:
            return initializers.HeNormal()
        return initializers.RandomNormal(stddev=self.deviation)


PAPER_INITIALIZATION: Final = Initialization(deviation=0.01, bias=1.0)
HE_INITIALIZATION: Final = Initialization(deviation=None, bias=0.0)


def parameters(classes: int = CLASSES) -> int:
    """Return the number of trained values: 60,965,224 with the 1000 classes of ImageNet."""
    return 56_868_224 + 4_097 * classes


def build(classes: int = CLASSES) -> keras.Model:
    """Build the untrained network, from [batch, 227, 227, 3] to probabilities, [batch, classes].

    The weights are initialized as in section 5, for pixels with a standard deviation of about 60.
    """
    return _build(classes, PAPER_INITIALIZATION)


def build_for_standardized(classes: int = CLASSES) -> keras.Model:
    """Build the network for pixels with a standard deviation of 1.

    He initialization keeps the variance of each layer (K. He et al., Delving Deep into Rectifiers, ICCV 2015,
    section 2.2).
    """
    return _build(classes, HE_INITIALIZATION)


def _build(classes: int, initialization: Initialization) -> keras.Model:
    from keras import Input, Model, layers

    inputs = Input(shape=(SIDE, SIDE, 3))
    x = _convolution(inputs, 96, 11, initialization, strides=4, padding="valid")
    x = layers.MaxPooling2D(pool_size=3, strides=2)(response_normalization(x))
    x = _convolution(x, 256, 5, initialization, groups=2, bias=initialization.bias)
    x = layers.MaxPooling2D(pool_size=3, strides=2)(response_normalization(x))
    x = _convolution(x, 384, 3, initialization)
    x = _convolution(x, 384, 3, initialization, groups=2, bias=initialization.bias)
    x = _convolution(x, 256, 3, initialization, groups=2, bias=initialization.bias)
    x = layers.MaxPooling2D(pool_size=3, strides=2)(x)
    x = layers.Flatten()(x)
    for _ in range(2):
        x = layers.Dropout(0.5)(_dense(x, 4096, initialization, "relu", bias=initialization.bias))
    outputs = layers.Activation("softmax", dtype="float32")(_dense(x, classes, initialization))
    return Model(inputs, outputs, name="alexnet")


def _convolution(
    x: keras.KerasTensor,
    filters: int,
    size: int,
    initialization: Initialization,
    *,
    groups: int = 1,
    strides: int = 1,
    padding: str = "same",
    bias: float = 0,
) -> keras.KerasTensor:
    """Build one convolution per group, because Keras's grouped convolution does not convert to ONNX."""
    from keras import initializers, layers, ops

    parts = [
        layers.Conv2D(
            filters // groups,
            size,
            strides=strides,
            padding=padding,
            activation="relu",
            kernel_initializer=initialization.kernel(),
            bias_initializer=initializers.Constant(bias),
        )(part)
        for part in (ops.split(x, groups, axis=-1) if groups > 1 else [x])
    ]
    return layers.Concatenate()(parts) if groups > 1 else parts[0]


def response_normalization(x: keras.KerasTensor) -> keras.KerasTensor:
    """Apply local response normalization, section 3.3: x / (2 + 1e-4 * sum of squares of 5 channels) ^ 0.75.

    TensorFlow's alpha is that of the paper; ONNX's is divided by the number of channels. The layer always
    computes in float32, because TensorFlow has no bfloat16 kernel for CPUs.
    """
    import keras
    from keras import layers

    def normalize(values: keras.KerasTensor) -> keras.KerasTensor:
        if keras.backend.backend() != "tensorflow":
            return portable_response_normalization(values)
        import tensorflow as tf

        return tf.nn.local_response_normalization(values, depth_radius=2, bias=2.0, alpha=1e-4, beta=0.75)

    return layers.Lambda(normalize, output_shape=x.shape[1:], dtype="float32")(x)


def portable_response_normalization(values: keras.KerasTensor) -> keras.KerasTensor:
    """Compute the same as TensorFlow's operator on any backend."""
    from keras import ops

    squares = ops.pad(ops.square(values), [(0, 0), (0, 0), (0, 0), (2, 2)])
    sums = sum(squares[..., first : first + values.shape[-1]] for first in range(5))
    return values / (2 + 1e-4 * sums) ** 0.75


def _dense(
    x: keras.KerasTensor,
    units: int,
    initialization: Initialization,
    activation: str | None = None,
    bias: float = 0,
) -> keras.KerasTensor:
    from keras import initializers, layers

    return layers.Dense(
        units,
        activation=activation,
        kernel_initializer=initialization.kernel(),
        bias_initializer=initializers.Constant(bias),
    )(x)
