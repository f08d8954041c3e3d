"""A. Krizhevsky, I. Sutskever, G. Hinton: ImageNet Classification with Deep Convolutional Neural Networks.

NIPS 2012, sections 3.1 to 3.5 and 4.2. Layers 2, 4 and 5 are in two groups, as they lay on two GPUs. The
figure's 224x224 pixels are 227x227 in the authors' code, for only these make the 55x55 of the first layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import keras

SIDE: Final = 227
CLASSES: Final = 1000


@dataclass(frozen=True)
class Start:
    """What the weights are before the first step.

    Attributes:
        deviation: of the normal distribution from which kernels are drawn; None has each follow from the
            number of its inputs.
        bias: of the layers that the paper starts positive: the second, fourth and fifth convolution and the
            hidden dense ones.
    """

    deviation: float | None
    bias: float

    def kernel(self) -> keras.initializers.Initializer:
        from keras import initializers

        if self.deviation is None:
            return initializers.HeNormal()
        return initializers.RandomNormal(stddev=self.deviation)


PUBLISHED: Final = Start(deviation=0.01, bias=1.0)
RECTIFIED: Final = Start(deviation=None, bias=0.0)


def parameters(classes: int = CLASSES) -> int:
    """The trained values of the network with so many classes: 60,965,224 with ImageNet's 1000."""
    return 56_868_224 + 4_097 * classes


def build(classes: int = CLASSES) -> keras.Model:
    """The untrained network: pictures of 227x227x3 in, one probability a class out.

    Its weights are drawn as in section 5, for pixels whose deviation is some 60 grey levels.
    """
    return _build(classes, PUBLISHED)


def build_for_standardised(classes: int = CLASSES) -> keras.Model:
    """The same for pixels of deviation 1, with weights drawn so that no layer shrinks what differs between
    pictures (K. He et al., Delving Deep into Rectifiers, ICCV 2015, section 2.2).
    """
    return _build(classes, RECTIFIED)


def _build(classes: int, start: Start) -> keras.Model:
    from keras import Input, Model, layers

    inputs = Input(shape=(SIDE, SIDE, 3))
    x = _convolution(inputs, 96, 11, start, strides=4, padding="valid")
    x = layers.MaxPooling2D(pool_size=3, strides=2)(normalised(x))
    x = _convolution(x, 256, 5, start, groups=2, bias=start.bias)
    x = layers.MaxPooling2D(pool_size=3, strides=2)(normalised(x))
    x = _convolution(x, 384, 3, start)
    x = _convolution(x, 384, 3, start, groups=2, bias=start.bias)
    x = _convolution(x, 256, 3, start, groups=2, bias=start.bias)
    x = layers.MaxPooling2D(pool_size=3, strides=2)(x)
    x = layers.Flatten()(x)
    for _ in range(2):
        x = layers.Dropout(0.5)(_dense(x, 4096, start, "relu", bias=start.bias))
    outputs = layers.Activation("softmax", dtype="float32")(_dense(x, classes, start))
    return Model(inputs, outputs, name="alexnet")


def _convolution(
    x: keras.KerasTensor,
    filters: int,
    size: int,
    start: Start,
    *,
    groups: int = 1,
    strides: int = 1,
    padding: str = "same",
    bias: float = 0,
) -> keras.KerasTensor:
    """A convolution whose groups stand side by side, for Keras's own grouped one does not convert to ONNX."""
    from keras import initializers, layers, ops

    parts = [
        layers.Conv2D(
            filters // groups,
            size,
            strides=strides,
            padding=padding,
            activation="relu",
            kernel_initializer=start.kernel(),
            bias_initializer=initializers.Constant(bias),
        )(part)
        for part in (ops.split(x, groups, axis=-1) if groups > 1 else [x])
    ]
    return layers.Concatenate()(parts) if groups > 1 else parts[0]


def normalised(x: keras.KerasTensor) -> keras.KerasTensor:
    """Section 3.3: each value divided by (2 + 1e-4 times the squares of five channels round it) ^ 0.75.

    TensorFlow's alpha is the paper's: it is not divided by the number of channels, as ONNX's is. It is
    computed in 32 bits whatever the layers round it are, for on a CPU there is no kernel of bfloat16.
    """
    import keras
    from keras import layers

    def normalise(values: keras.KerasTensor) -> keras.KerasTensor:
        if keras.backend.backend() != "tensorflow":
            return normalised_anywhere(values)
        import tensorflow as tf

        return tf.nn.local_response_normalization(values, depth_radius=2, bias=2.0, alpha=1e-4, beta=0.75)

    return layers.Lambda(normalise, output_shape=x.shape[1:], dtype="float32")(x)


def normalised_anywhere(values: keras.KerasTensor) -> keras.KerasTensor:
    """What TensorFlow's operator gives, for backends that have none."""
    from keras import ops

    squares = ops.pad(ops.square(values), [(0, 0), (0, 0), (0, 0), (2, 2)])
    near = sum(squares[..., place : place + values.shape[-1]] for place in range(5))
    return values / (2 + 1e-4 * near) ** 0.75


def _dense(
    x: keras.KerasTensor, units: int, start: Start, activation: str | None = None, bias: float = 0
) -> keras.KerasTensor:
    from keras import initializers, layers

    return layers.Dense(
        units,
        activation=activation,
        kernel_initializer=start.kernel(),
        bias_initializer=initializers.Constant(bias),
    )(x)
