"""Ensembles are calibrated as a whole, a single network in its last layer."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from export.datasets.dataset import InMemoryExamples
from export.evaluation import metrics, temperature_scaling
from export.evaluation.verify import predict_keras, predict_onnx
from export.graph.convert import convert
from export.graph.rewrites import rewrite
from export.graph.structure import GraphStructure
from export.networks.preprocessing import from_pixels
from export.training.checkpoint import Curves
from export.training.ensemble import EnsembleMember, build_ensemble

CLASSES = 4


def examples(count: int = 400) -> InMemoryExamples:
    """Images whose class is the brightest of four quarters; a tenth of the labels is wrong."""
    draw = np.random.default_rng(1)
    images = draw.integers(0, 120, (count, 4, 4, 1), dtype=np.uint8)
    labels = draw.integers(0, CLASSES, count)
    for image, label in zip(images, labels, strict=True):
        row, column = 2 * (label // 2), 2 * (label % 2)
        image[row : row + 2, column : column + 2] += 110
    wrong = draw.random(count) < 0.1
    return InMemoryExamples(images, np.where(wrong, draw.integers(0, CLASSES, count), labels))


def member(sharpness: float, name: str) -> EnsembleMember:
    inputs = keras.Input((4, 4, 1))
    pooled = keras.layers.Flatten()(keras.layers.AveragePooling2D(2)(inputs))
    network = keras.Model(inputs, keras.layers.Dense(CLASSES, activation="softmax")(pooled))
    network.layers[-1].set_weights([sharpness * np.eye(CLASSES, dtype=np.float32), np.zeros(CLASSES)])
    return EnsembleMember(network, from_pixels(network, name=name), Curves(), 0.0, "by hand")


def mean_of(members: list[EnsembleMember], pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(
        np.mean([predict_keras(each.full_model, pixels) for each in members], axis=0), np.float32
    )


@pytest.mark.parametrize("sharpness", [(2.0, 3.0), (60.0, 90.0)])
def test_mean_of_an_ensemble_is_calibrated(sharpness: tuple[float, float]) -> None:
    held_out, members = examples(), [member(each, f"m{each:.0f}") for each in sharpness]
    before = mean_of(members, held_out.images)
    ensemble = build_ensemble(members, held_out, "both", float16_weights=False)
    assert ensemble.temperature is not None
    assert (ensemble.temperature < 0.8) == (sharpness[0] < 10)
    after = predict_keras(ensemble.network, held_out.images)
    np.testing.assert_allclose(after, temperature_scaling.soften(before, ensemble.temperature), atol=1e-5)
    errors = [metrics.calibration_error(each, held_out.labels) for each in (after, before)]
    assert errors[0] < 0.8 * errors[1]
    np.testing.assert_array_equal(mean_of(members, held_out.images), before)  # the members are not calibrated
    np.testing.assert_allclose(ensemble.uncalibrated_probabilities(after), before, atol=1e-4)

    graph, _ = rewrite(convert(ensemble.network))
    np.testing.assert_allclose(predict_onnx(graph, held_out.images), after, atol=1e-5)
    assert len(GraphStructure(graph).members()) == 2


def test_single_network_is_calibrated_in_its_last_layer() -> None:
    held_out, alone = examples(), member(3.0, "alone")
    before = predict_keras(alone.full_model, held_out.images)
    ensemble = build_ensemble([alone], held_out, "alone", float16_weights=False)
    assert ensemble.network is alone.full_model
    assert ensemble.temperature is not None
    after = predict_keras(ensemble.network, held_out.images)
    np.testing.assert_allclose(after, temperature_scaling.soften(before, ensemble.temperature), atol=1e-5)


def test_too_few_images_leave_the_mean() -> None:
    few, members = examples(50), [member(2.0, "one"), member(3.0, "two")]
    ensemble = build_ensemble(members, few, "both", float16_weights=False)
    assert ensemble.temperature is None
    np.testing.assert_allclose(
        predict_keras(ensemble.network, few.images), mean_of(members, few.images), atol=1e-6
    )
