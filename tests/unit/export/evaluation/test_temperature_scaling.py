from __future__ import annotations

import keras
import numpy as np
import pytest

from export.evaluation import metrics, temperature_scaling

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 5, 4000)


def softmax(logits: np.ndarray) -> np.ndarray:
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))


def overconfident_logits(times: float) -> np.ndarray:
    """Return logits whose softmax is calibrated, multiplied by `times`."""
    logits = RANDOM.normal(size=(len(LABELS), 5)) * 1.5
    drawn = (softmax(logits).cumsum(axis=1) > RANDOM.random((len(LABELS), 1))).argmax(axis=1)
    swapped = logits.copy()
    rows = np.arange(len(LABELS))
    swapped[rows, LABELS], swapped[rows, drawn] = logits[rows, drawn], logits[rows, LABELS]
    return swapped * times


@pytest.mark.parametrize("times", [0.5, 1.0, 2.5])
def test_temperature_recovers_the_scale_of_the_logits(times: float) -> None:
    outputs = softmax(overconfident_logits(times)).astype(np.float32)
    temperature = temperature_scaling.fit(outputs, LABELS)
    assert temperature == pytest.approx(times, rel=0.08)
    calibrated = temperature_scaling.soften(outputs, temperature)
    assert metrics.calibration_error(calibrated, LABELS) < 0.03
    assert np.array_equal(calibrated.argmax(axis=1), outputs.argmax(axis=1))
    if times != 1:
        assert metrics.calibration_error(outputs, LABELS) > 0.05


def test_soften_is_inverted_by_the_reciprocal_temperature() -> None:
    outputs = softmax(RANDOM.normal(size=(10, 5)))
    softer = temperature_scaling.soften(outputs, 2.0)
    assert np.all(softer.max(axis=1) < outputs.max(axis=1))
    np.testing.assert_allclose(temperature_scaling.soften(softer, 0.5), outputs)
    np.testing.assert_allclose(temperature_scaling.soften(outputs, 1.0), outputs)


def test_zero_probabilities_are_accepted() -> None:
    outputs = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
    assert temperature_scaling.fit(outputs, np.array([0, 1, 1])) == pytest.approx(5, rel=0.01)


def test_fold_divides_the_logits() -> None:
    inputs = keras.Input((4,))
    x = keras.layers.Dense(6, activation="relu")(inputs)
    network = keras.Model(inputs, keras.layers.Activation("softmax")(keras.layers.Dense(3)(x)))
    given = RANDOM.normal(size=(8, 4)).astype(np.float32)
    before = network.predict_on_batch(given)
    temperature_scaling.fold(network, 1.7)
    np.testing.assert_allclose(
        network.predict_on_batch(given), temperature_scaling.soften(before, 1.7), atol=1e-6
    )
