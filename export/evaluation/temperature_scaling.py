"""Temperature scaling: calibrates the probabilities of a network with a single number.

C. Guo, G. Pleiss, Y. Sun, K. Weinberger, On calibration of modern neural networks, ICML 2017, section 4.2:
the logits are divided by the temperature with the least cross-entropy on held-out images. The logarithm of
the mean probabilities of an ensemble takes the place of logits: an average of calibrated members would be
less sure than it is right. The predicted classes do not change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

Probabilities = NDArray[np.floating[Any]]

# A temperature that is fitted on fewer images says more about them than about the network.
MIN_EXAMPLES: Final = 200
MIN_EXAMPLES_PER_CLASS: Final = 30

# The search ends within a thousandth of the best temperature in this range.
_MIN_TEMPERATURE: Final = 0.2
_MAX_TEMPERATURE: Final = 5.0
_STEPS: Final = 40

# Smaller than any positive probability in float32.
_EPSILON: Final = 1e-40


def min_examples(classes: int) -> int:
    """Return the least number of held-out images to fit a temperature on."""
    return max(MIN_EXAMPLES, MIN_EXAMPLES_PER_CLASS * classes)


def fit(probabilities: Probabilities, labels: NDArray[np.int64]) -> float:
    """Return the temperature with the least cross-entropy, by golden-section search over its logarithm.

    Args:
        probabilities: the probabilities of the network or the ensemble, [examples, classes].
        labels: the true classes, [examples].
    """
    golden = (np.sqrt(5) - 1) / 2
    low, high = np.log(_MIN_TEMPERATURE), np.log(_MAX_TEMPERATURE)
    for _ in range(_STEPS):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if _cross_entropy(probabilities, labels, np.exp(left)) <= _cross_entropy(
            probabilities, labels, np.exp(right)
        ):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def soften(probabilities: Probabilities, temperature: float) -> NDArray[np.float64]:
    """Return the probabilities at this temperature, [examples, classes]."""
    logits = np.log(np.maximum(probabilities.astype(np.float64), _EPSILON)) / temperature
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    softened: NDArray[np.float64] = scores / scores.sum(axis=1, keepdims=True)
    return softened


def fold(network: keras.Model, temperature: float) -> None:
    """Divide the weights of the last dense layer, and with them the logits, by the temperature."""
    from keras import layers

    last = next(layer for layer in reversed(network.layers) if isinstance(layer, layers.Dense))
    last.set_weights([value / np.float32(temperature) for value in last.get_weights()])


def _cross_entropy(probabilities: Probabilities, labels: NDArray[np.int64], temperature: float) -> float:
    found = soften(probabilities, temperature)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(found, _EPSILON)).mean())
