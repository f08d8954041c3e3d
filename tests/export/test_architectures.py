from __future__ import annotations

import keras
import numpy as np
import pytest

from export.architectures import alexnet, convnet
from export.architectures.pixels import from_pixels
from export.recipes import RECIPES


def test_convnet_is_listing_8_1_layer_by_layer() -> None:
    network = convnet.build()
    layers = [(type(layer).__name__, tuple(layer.output.shape[1:])) for layer in network.layers]
    assert layers == [
        ("InputLayer", (28, 28, 1)),
        ("Conv2D", (26, 26, 32)),
        ("MaxPooling2D", (13, 13, 32)),
        ("Conv2D", (11, 11, 64)),
        ("MaxPooling2D", (5, 5, 64)),
        ("Conv2D", (3, 3, 128)),
        ("Flatten", (1152,)),
        ("Dense", (10,)),
    ]
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [layer.kernel_size for layer in convolutions] == [(3, 3)] * 3
    assert [layer.activation for layer in convolutions] == [keras.activations.relu] * 3
    assert network.layers[-1].activation is keras.activations.softmax


def test_alexnet_is_the_network_of_the_paper() -> None:
    network = alexnet.build()
    kernels = [
        tuple(layer.kernel.shape) for layer in network.layers if isinstance(layer, keras.layers.Conv2D)
    ]
    assert kernels == [
        (11, 11, 3, 96),
        *[(5, 5, 48, 128)] * 2,
        (3, 3, 256, 384),
        *[(3, 3, 192, 192)] * 2,
        *[(3, 3, 192, 128)] * 2,
    ]
    pools = [layer for layer in network.layers if isinstance(layer, keras.layers.MaxPooling2D)]
    assert [layer.output.shape[1:] for layer in pools] == [(27, 27, 96), (13, 13, 256), (6, 6, 256)]
    dense = [layer for layer in network.layers if isinstance(layer, keras.layers.Dense)]
    assert [(layer.units, layer.activation) for layer in dense] == [
        (4096, keras.activations.relu),
        (4096, keras.activations.relu),
        (1000, keras.activations.linear),
    ]
    assert network.count_params() == alexnet.parameters() == 60_965_224
    assert network.output_shape == (None, 1000)


def test_alexnet_with_fewer_classes_differs_in_its_last_layer_alone() -> None:
    network = alexnet.build(classes=43)
    assert network.count_params() == alexnet.parameters(43) == 60_965_224 - (1000 - 43) * 4097


def test_local_response_normalisation_is_the_formula_of_the_paper() -> None:
    inputs = keras.Input((3, 4, 9))
    network = keras.Model(inputs, alexnet.normalised(inputs))
    values = np.random.default_rng(0).normal(0, 100, (2, 3, 4, 9)).astype(np.float32)
    expected = np.empty_like(values)
    for channel in range(9):
        near = values[..., max(0, channel - 2) : channel + 3]
        expected[..., channel] = values[..., channel] / (2 + 1e-4 * (near**2).sum(axis=-1)) ** 0.75
    np.testing.assert_allclose(network.predict(values, verbose=0), expected, rtol=1e-5)


@pytest.mark.parametrize("name", RECIPES)
def test_every_network_has_its_published_size_and_takes_what_its_manifest_says(name: str) -> None:
    recipe = RECIPES[name]
    network = recipe.build()
    assert network.name == name
    assert network.count_params() == recipe.parameters
    assert network.input_shape == (None, *recipe.input.shape())
    assert recipe.golden(0).shape[1:] == recipe.input.shape()
    assert len(recipe.golden(0)) >= 20
    assert recipe.example().shape == recipe.input.shape()


def test_pixels_are_rescaled_inside_and_the_weights_are_shared() -> None:
    network = convnet.build()
    whole = from_pixels(network)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 28, 28, 1), dtype=np.uint8)
    np.testing.assert_allclose(
        whole.predict(pixels, verbose=0), network.predict(pixels / np.float32(255), verbose=0), atol=1e-6
    )
    assert [id(weight) for weight in whole.weights] == [id(weight) for weight in network.weights]
    assert whole.name == network.name
