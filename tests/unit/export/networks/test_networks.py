from __future__ import annotations

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from export.networks import alexnet, convnet, lenet5, signnet
from export.networks.ensemble import average_ensemble
from export.networks.preprocessing import (
    Preprocessing,
    centred,
    colour_balanced,
    from_pixels,
    locally_normalized,
    rescaled,
    standardized,
    stretched,
)
from export.pipelines.recipes import RECIPES
from export.training.mixed_precision import mixed_precision


@pytest.fixture(scope="module")
def published() -> keras.Model:
    """AlexNet, built once because it has sixty million weights."""
    return alexnet.build()


@pytest.fixture(scope="module")
def published_for_signs() -> keras.Model:
    return alexnet.build(classes=43)


def test_convnet_has_the_layers_of_listing_8_1() -> None:
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


def test_alexnet_has_the_layers_of_the_paper(published: keras.Model) -> None:
    network = published
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


def test_alexnet_with_fewer_classes_has_a_smaller_last_layer(published_for_signs: keras.Model) -> None:
    assert published_for_signs.count_params() == alexnet.parameters(43) == 60_965_224 - (1000 - 43) * 4097


def kernels_of(network: keras.Model) -> list[tuple[tuple[int, ...], float]]:
    """Return the shape and the standard deviation of every kernel."""
    kernels = [layer.kernel for layer in network.layers if hasattr(layer, "kernel")]
    return [(tuple(kernel.shape), float(np.std(kernel))) for kernel in kernels]


def test_alexnet_initialization_follows_the_paper_or_he(
    published_for_signs: keras.Model,
) -> None:
    published, rectified = published_for_signs, alexnet.build_for_standardized(classes=43)
    assert [shape for shape, _ in kernels_of(published)] == [shape for shape, _ in kernels_of(rectified)]
    assert published.count_params() == rectified.count_params()
    for shape, deviation in kernels_of(published):
        assert deviation == pytest.approx(0.01, rel=0.03), shape
    for shape, deviation in kernels_of(rectified):
        assert deviation == pytest.approx((2 / np.prod(shape[:-1])) ** 0.5, rel=0.03), shape
    biases = [float(np.mean(layer.bias)) for layer in published.layers if hasattr(layer, "kernel")]
    assert biases == [0, 1, 1, 0, 1, 1, 1, 1, 1, 1, 0]
    assert not any(np.any(layer.bias) for layer in rectified.layers if hasattr(layer, "kernel"))


def test_centred_subtracts_the_mean_colour_of_imagenet() -> None:
    pixels = np.full((1, 227, 227, 3), 128, np.float32)
    expected = [128 - 123.68, 128 - 116.78, 128 - 103.94]
    np.testing.assert_allclose(np.asarray(centred(pixels))[0, 0, 0], expected, rtol=1e-5)


def test_response_normalization_matches_the_formula_of_the_paper() -> None:
    inputs = keras.Input((3, 4, 9))
    network = keras.Model(inputs, alexnet.response_normalization(inputs))
    values = np.random.default_rng(0).normal(0, 100, (2, 3, 4, 9)).astype(np.float32)
    expected = np.empty_like(values)
    for channel in range(9):
        near = values[..., max(0, channel - 2) : channel + 3]
        expected[..., channel] = values[..., channel] / (2 + 1e-4 * (near**2).sum(axis=-1)) ** 0.75
    np.testing.assert_allclose(network.predict(values, verbose=0), expected, rtol=1e-5)


def test_portable_response_normalization_matches_tensorflow() -> None:
    """Includes fewer channels than the window."""
    for channels in (9, 3, 1):
        values = np.random.default_rng(channels).normal(0, 100, (2, 3, 4, channels)).astype(np.float32)
        inputs = keras.Input((3, 4, channels))
        network = keras.Model(inputs, alexnet.response_normalization(inputs))
        own = keras.ops.convert_to_numpy(
            alexnet.portable_response_normalization(keras.ops.convert_to_tensor(values))
        )
        np.testing.assert_allclose(own, network.predict_on_batch(values), rtol=1e-5)


def test_response_normalization_trains_in_mixed_precision() -> None:
    """TensorFlow has no bfloat16 kernel for it on CPUs."""
    with mixed_precision():
        inputs = keras.Input((3, 4, 9))
        outputs = keras.layers.Conv2D(2, 1)(alexnet.response_normalization(keras.layers.Conv2D(9, 1)(inputs)))
    network = keras.Model(inputs, outputs)
    before = [np.array(weight) for weight in network.get_weights()]
    values = np.random.default_rng(0).normal(0, 100, (2, 3, 4, 9)).astype(np.float32)
    network.compile("sgd", "mse")
    network.train_on_batch(values, np.ones((2, 3, 4, 2), np.float32))
    assert all(np.any(old != new) for old, new in zip(before, network.get_weights(), strict=True))


@pytest.mark.parametrize("name", RECIPES)
def test_network_has_its_published_size_and_input(name: str, request: pytest.FixtureRequest) -> None:
    recipe = RECIPES[name]
    sizes = {"convnet": 104_202, "lenet5": 61_706, "signnet": 1_543_443, "alexnet": 60_965_224}
    assert recipe.parameters(recipe.classes) == sizes[name]
    drawn = recipe.build is alexnet.build
    network = request.getfixturevalue("published") if drawn else recipe.build(recipe.classes)
    assert network.name == name
    assert network.count_params() == sizes[name]
    assert network.input_shape == (None, *recipe.input.shape())
    assert recipe.golden(0).shape[1:] == recipe.input.shape()
    assert len(recipe.golden(0)) >= 20
    assert recipe.example().shape == recipe.input.shape()


def test_from_pixels_rescales_and_shares_weights() -> None:
    network = convnet.build()
    full_model = from_pixels(network)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 28, 28, 1), dtype=np.uint8)
    np.testing.assert_allclose(
        full_model.predict(pixels, verbose=0), network.predict(pixels / np.float32(255), verbose=0), atol=1e-6
    )
    assert [id(weight) for weight in full_model.weights] == [id(weight) for weight in network.weights]
    assert full_model.name == network.name


def shapes(network: keras.Model) -> list[tuple[str, tuple[int, ...]]]:
    """Return type and output shape of the layers, except ReLU and dropout."""
    passed = ("ReLU", "Dropout")
    layers = [layer for layer in network.layers if type(layer).__name__ not in passed]
    return [(type(layer).__name__, tuple(layer.output.shape[1:])) for layer in layers]


def test_lenet5_has_the_layers_of_1998() -> None:
    network = lenet5.build()
    assert shapes(network) == [
        ("InputLayer", (28, 28, 1)),
        ("ZeroPadding2D", (32, 32, 1)),
        ("Conv2D", (28, 28, 6)),
        ("AveragePooling2D", (14, 14, 6)),
        ("Conv2D", (10, 10, 16)),
        ("AveragePooling2D", (5, 5, 16)),
        ("Conv2D", (1, 1, 120)),
        ("Flatten", (120,)),
        ("Dense", (84,)),
        ("Dense", (10,)),
    ]


@pytest.mark.parametrize("classes", [43, 3755])
def test_signnet_has_the_layers_of_table_1(classes: int) -> None:
    network = signnet.build(classes)
    assert network.count_params() == signnet.parameters(classes)
    assert shapes(network) == [
        ("InputLayer", (48, 48, 3)),
        ("Conv2D", (42, 42, 100)),
        ("MaxPooling2D", (21, 21, 100)),
        ("Conv2D", (18, 18, 150)),
        ("MaxPooling2D", (9, 9, 150)),
        ("Conv2D", (6, 6, 250)),
        ("MaxPooling2D", (3, 3, 250)),
        ("Flatten", (2250,)),
        ("Dense", (300,)),
        ("Dense", (classes,)),
    ]


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_parameter_count_is_correct_for_any_number_of_classes(classes: int) -> None:
    for network in (convnet, lenet5):
        assert network.build(classes).count_params() == network.parameters(classes)


IMAGES = np.random.default_rng(1).integers(0, 200, (3, 32, 32, 3)).astype(np.float32)


def preprocessed(preprocess: Preprocessing, images: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(keras.ops.convert_to_numpy(preprocess(keras.ops.convert_to_tensor(images))))


def test_rescaled_divides_by_255() -> None:
    np.testing.assert_allclose(preprocessed(rescaled, IMAGES), IMAGES / 255, rtol=1e-6)


@pytest.mark.parametrize("preprocess", [standardized, colour_balanced, locally_normalized, stretched])
def test_preprocessing_removes_brightness_and_contrast(preprocess: Preprocessing) -> None:
    """The tolerance covers the constant that is added to standard deviations."""
    np.testing.assert_allclose(
        preprocessed(preprocess, IMAGES * 0.8 + 30), preprocessed(preprocess, IMAGES), atol=0.05
    )


@pytest.mark.parametrize("preprocess", [standardized, colour_balanced, locally_normalized, stretched])
def test_uniform_image_becomes_zero(preprocess: Preprocessing) -> None:
    even = np.full((1, 32, 32, 3), 200, np.float32)
    np.testing.assert_allclose(preprocessed(preprocess, even), 0, atol=1e-3)


def test_colour_balance_removes_a_colour_cast() -> None:
    tinted = IMAGES * np.array([1, 0.7, 0.5], np.float32)
    np.testing.assert_allclose(
        preprocessed(colour_balanced, tinted), preprocessed(colour_balanced, IMAGES), atol=0.05
    )
    assert np.abs(preprocessed(standardized, tinted) - preprocessed(standardized, IMAGES)).max() > 0.5


def test_ensemble_averages_its_members() -> None:
    keras.utils.set_random_seed(0)
    members = [
        from_pixels(convnet.build(), preprocess, f"member-{number}")
        for number, preprocess in enumerate((rescaled, standardized))
    ]
    full_model = average_ensemble(members, "together")
    pixels = np.random.default_rng(0).integers(0, 256, (4, 28, 28, 1), dtype=np.uint8)
    mean = np.mean([member.predict_on_batch(pixels) for member in members], axis=0)
    np.testing.assert_allclose(full_model.predict_on_batch(pixels), mean, atol=1e-6)
    assert full_model.count_params() == 2 * convnet.PARAMETERS
    assert full_model.name == "together"
    assert average_ensemble(members[:1], "alone") is members[0]
