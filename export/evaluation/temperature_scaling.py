"""Temperature scaling: one number that makes a network as sure of itself as it is right.

C. Guo, G. Pleiss, Y. Sun, K. Weinberger, On calibration of modern neural networks, ICML 2017, section 4.2:
the logits are divided by a temperature, fitted on pictures held out by the least cross-entropy. No decision
changes in a single network. In a committee the logits of every column are divided by the same temperature.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

Answers = Sequence[NDArray[np.floating[Any]]]

# Between these the temperature is looked for, to within a thousandth.
_COLDEST: Final = 0.2
_HOTTEST: Final = 5.0
_STEPS: Final = 40

# Less than any probability that is not 0 in 32 bits.
_TINY: Final = 1e-40


def fit(columns: Answers, labels: NDArray[np.int64]) -> float:
    """The temperature of the least cross-entropy, by golden section over its logarithm.

    `columns` are the probabilities that each column gives, [examples, classes].
    """
    golden = (np.sqrt(5) - 1) / 2
    low, high = np.log(_COLDEST), np.log(_HOTTEST)
    for _ in range(_STEPS):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if _cross_entropy(columns, labels, np.exp(left)) <= _cross_entropy(columns, labels, np.exp(right)):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def soften(columns: Answers, temperature: float) -> NDArray[np.float64]:
    """The mean of the columns' probabilities at this temperature."""
    mean = np.zeros(columns[0].shape)
    for answers in columns:
        logits = np.log(np.maximum(answers.astype(np.float64), _TINY)) / temperature
        scores = np.exp(logits - logits.max(axis=1, keepdims=True))
        mean += scores / scores.sum(axis=1, keepdims=True)
    return mean / len(columns)


def fold(network: keras.Model, temperature: float) -> None:
    """Divide a network's logits by the temperature, in the weights of its last layer: this costs nothing."""
    from keras import layers

    last = next(layer for layer in reversed(network.layers) if isinstance(layer, layers.Dense))
    last.set_weights([value / np.float32(temperature) for value in last.get_weights()])


def _cross_entropy(columns: Answers, labels: NDArray[np.int64], temperature: float) -> float:
    probabilities = soften(columns, temperature)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(probabilities, _TINY)).mean())
