"""Layers and gradients of `inspect.onnx` equal those of the Keras networks with the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from export.graph.structure import GraphStructure
from export.networks import convnet, lenet5, signnet
from tests.support.images.drawn_mnist import draw_digits
from tests.support.inspection.inspect_run import InspectRun, channels_first, load_weights
from tests.support.models.shipped import highest_version

BUILDERS = {"convnet": convnet.build, "lenet5": lenet5.build, "signnet": signnet.build}
# Of each network three layers, by the names of Keras's layers and of the inspect graph.
IMAGES = 100


def images(name: str) -> NDArray[np.uint8]:
    if name == "signnet":
        return np.random.default_rng(3).integers(0, 256, (8, 48, 48, 3), dtype=np.uint8)
    digits, _ = draw_digits(IMAGES // 10, seed=11)
    return digits[..., np.newaxis]


def chosen(count: int, classes: int) -> NDArray[np.float32]:
    weights = np.zeros((count, classes), np.float32)
    weights[np.arange(count), np.arange(count) % classes] = 1
    return weights


@pytest.fixture(params=["convnet", "lenet5"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, InspectRun, Any, float]:
    name: str = request.param
    graph = (highest_version(name) / "model.onnx").read_bytes()
    network = BUILDERS[name]()
    structure = GraphStructure(graph)
    load_weights(network, structure, structure.members()[0])
    # LeNet-5's scaling is in its weights.
    scale = 1 / 255 if name == "convnet" else 1.0
    return name, InspectRun(graph, tmp_path), network, scale


def weighted_layers(network: Any) -> list[Any]:
    from keras import layers

    kinds = (layers.Conv2D, layers.Dense, layers.MaxPooling2D, layers.AveragePooling2D)
    return [layer for layer in network.layers if isinstance(layer, kinds)]


def with_logits(network: Any) -> Any:
    """The network with the logits and the outputs of its layers after their activation."""
    import keras

    network.layers[-1].activation = keras.activations.linear
    value, outputs = network.inputs[0], []
    for layer in network.layers[1:]:
        value = layer(value)
        if layer in weighted_layers(network):
            outputs.append(value)
    return keras.Model(network.inputs[0], outputs)


def names_of(run: InspectRun) -> list[str]:
    """The names of the same outputs in the inspect graph: activations in place of what they follow."""
    layers = [layer for layer in run.built.layers if layer.operator != "Softmax"]
    activated = {layer.inputs[0] for layer in layers if layer.operator in ("Relu", "Tanh")}
    return [layer.name for layer in layers if layer.name not in activated]


def test_outputs_of_all_layers_equal_keras(pair: tuple[str, InspectRun, Any, float]) -> None:
    name, run, network, scale = pair
    pixels = images(name)
    model = with_logits(network)
    expected = [np.asarray(each) for each in model(pixels.astype(np.float32) * scale)]
    names = names_of(run)
    assert len(names) == len(expected)
    weights = chosen(len(pixels), 10)
    values = run.values([run.layer(each).value for each in names], pixels, weights)
    for layer, actual, wanted in zip(names, values, expected, strict=True):
        np.testing.assert_allclose(actual, channels_first(wanted), atol=1e-4, err_msg=layer)


def test_gradients_equal_those_of_gradient_tape(pair: tuple[str, InspectRun, Any, float]) -> None:
    name, run, network, scale = pair
    pixels = images(name)
    weights = chosen(len(pixels), 10)
    layers = weighted_layers(network)
    with_logits(network)
    with tf.GradientTape(persistent=True) as tape:
        value = tf.constant(pixels.astype(np.float32))
        tape.watch(value)
        outputs = {"input": value}
        value = value * scale
        for layer in network.layers[1:]:
            value = layer(value)
            if layer in layers:
                tape.watch(value)
                outputs[layer.name] = value
        score = tf.reduce_sum(value * weights)
    names = names_of(run)
    for layer, own in zip(layers[:-1], names[:-1], strict=True):
        wanted = channels_first(np.asarray(tape.gradient(score, outputs[layer.name])))
        gradient = run.layer(own).gradient
        assert gradient is not None
        (actual,) = run.values([gradient], pixels, weights)
        assert_close(actual, wanted)
    (actual,) = run.values([run.built.document["input_gradient"]], pixels, weights)
    assert_close(actual, np.asarray(tape.gradient(score, outputs["input"])))


def assert_close(actual: NDArray[np.float32], wanted: NDArray[np.float32]) -> None:
    """Check the difference, relative to the largest gradient."""
    assert np.abs(wanted).max() > 0
    assert np.abs(actual - wanted).max() <= 1e-4 * np.abs(wanted).max()


def test_members_of_an_ensemble_equal_keras(tmp_path: Path) -> None:
    graph = (highest_version("signnet") / "model.onnx").read_bytes()
    structure = GraphStructure(graph)
    run = InspectRun(graph, tmp_path)
    pixels = images("signnet")
    weights = chosen(len(pixels), 43)
    first = run.layer("column1.conv1")
    assert (first.field, first.parameters) == (run.layer("column5.conv1").field, 100 * (147 + 1))
    for number, output in enumerate(structure.members(), start=1):
        network = signnet.build()
        load_weights(network, structure, output)
        layers = {layer.name: layer for layer in run.built.layers if layer.column == number}
        taken = next(iter(layers.values())).value
        names = [f"column{number}.{name}" for name in ("relu1", "relu2", "relu3")]
        # Preprocessing is the export's own: the first layer's output goes into the rest of Keras's network.
        (conv1,) = run.values([taken], pixels, weights)
        with tf.GradientTape(persistent=True) as tape:
            value = tf.constant(conv1.transpose(0, 2, 3, 1))
            tape.watch(value)
            outputs = [value]
            for layer in network.layers[2:-1]:
                value = layer(value)
                if layer.name.startswith("re_lu"):
                    tape.watch(value)
                    outputs.append(value)
            logits = value @ network.layers[-1].kernel + network.layers[-1].bias
            score = tf.reduce_sum(logits * weights) / 5
        values = run.values([layers[name].value for name in names], pixels, weights)
        gradients = run.values([str(layers[name].gradient) for name in names], pixels, weights)
        for output_of, value_of, gradient in zip(outputs[1:], values, gradients, strict=True):
            expected = channels_first(np.asarray(output_of))
            assert np.abs(value_of - expected).max() <= 1e-4 * max(1.0, np.abs(expected).max())
            assert_close(gradient, channels_first(np.asarray(tape.gradient(score, output_of))))


def test_inspect_graph_has_no_weights_of_its_own(tmp_path: Path) -> None:
    for name, parameters in (("convnet", 104_202), ("lenet5", 61_706), ("signnet", 5 * 1_543_443)):
        graph = (highest_version(name) / "model.onnx").read_bytes()
        folder = tmp_path / name
        folder.mkdir()
        run = InspectRun(graph, folder)
        assert sum(layer.parameters for layer in run.built.layers) == parameters
        assert len(run.built.content) < 150_000


@pytest.mark.parametrize(("name", "layer"), [("convnet", "pool2"), ("lenet5", "pool2")])
def test_randomised_weights_change_the_maps(name: str, layer: str, tmp_path: Path) -> None:
    graph = (highest_version(name) / "model.onnx").read_bytes()
    pixels, correlations = images(name), []
    weights = chosen(len(pixels), 10)
    folders = [tmp_path / "trained", tmp_path / "random"]
    for folder in folders:
        folder.mkdir()
    runs = [InspectRun(graph, folders[0]), InspectRun(with_random_weights(graph), folders[1])]
    maps = []
    for run in runs:
        found = run.layer(layer)
        values, gradients = run.values([found.value, str(found.gradient)], pixels, weights)
        maps.append((values * gradients).sum(axis=1).reshape(len(pixels), -1))
    for trained, changed in zip(*maps, strict=True):
        correlations.append(np.corrcoef(trained.argsort().argsort(), changed.argsort().argsort())[0, 1])
    assert abs(np.mean(correlations)) < 0.5


def with_random_weights(graph: bytes) -> bytes:
    model = onnx.load_from_string(graph)
    generator = np.random.default_rng(1)
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.ndim > 1 and values.dtype == np.float32:
            changed = generator.permutation(values.ravel()).reshape(values.shape)
            tensor.CopyFrom(onnx.numpy_helper.from_array(changed, tensor.name))
    return bytes(model.SerializeToString())
