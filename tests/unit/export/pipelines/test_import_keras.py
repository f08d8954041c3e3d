"""The import of Keras networks: their forms, and files that cannot be imported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from export.cli.main import main
from export.datasets.server_input import as_input
from export.graph.ort_session import OrtSession
from export.repository.repository_reader import PublishedVersion, read_version
from tests.support.models import keras_networks

pytestmark = [
    # Keras saves its weights with a call that numpy deprecates.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built:UserWarning"),
]

LABELS = ("cat", "dog", "stop")

Import = Callable[..., int]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restores the variables that `main` sets."""
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture
def run_import(tmp_path: Path) -> Import:
    """Runs `convserve-export import` with three labels and returns the exit code."""

    def run_import(path: Path, *options: str, labels: tuple[str, ...] = LABELS) -> int:
        (tmp_path / "labels.txt").write_text("\n".join(labels))
        files = [str(path), "--labels", str(tmp_path / "labels.txt")]
        return main(["import", *files, "--models", str(tmp_path / "models"), "--name", "net", *options])

    return run_import


def scores(version: PublishedVersion, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return OrtSession(version.graph).run(as_input(pixels, version.manifest.input))


# For each network the options, the axes of its images in the server, and the function from images to inputs.
FORMS: dict[str, tuple[Callable[[], keras.Model], tuple[str, ...], tuple[int, ...], str, int]] = {
    "channels first": (keras_networks.channels_first, (), (32, 32, 3), "logits", 3),
    "mixed": (lambda: keras_networks.in_16_bits("mixed_float16"), (), (32, 32, 3), "probabilities", 3),
    "half": (lambda: keras_networks.in_16_bits("float16"), (), (32, 32, 3), "probabilities", 3),
    "adapted": (keras_networks.adapted, (), (48, 40, 3), "sigmoid", 3),
    "transformer": (keras_networks.transformer, (), (32, 32, 3), "probabilities", 3),
    "rows": (keras_networks.rows, ("--scale", "1/255"), (28, 28, 1), "logits", 3),
    "any size": (
        keras_networks.two_outputs,
        ("--output", "kind", "--size", "24x32"),
        (24, 32, 3),
        "probabilities",
        3,
    ),
    "one unit": (
        keras_networks.two_outputs,
        ("--output", "good", "--size", "24x32"),
        (24, 32, 3),
        "probabilities",
        2,
    ),
}


@pytest.mark.parametrize(("build", "options", "axes", "kind", "labels"), FORMS.values(), ids=FORMS)
def test_graph_computes_what_keras_computes(
    run_import: Import,
    tmp_path: Path,
    build: Callable[[], keras.Model],
    options: tuple[str, ...],
    axes: tuple[int, ...],
    kind: str,
    labels: int,
) -> None:
    keras.utils.set_random_seed(4)
    network = build()
    network.save(tmp_path / "mine.keras")
    assert run_import(tmp_path / "mine.keras", *options, labels=LABELS[:labels]) == 0
    version = read_version(tmp_path / "models", "net")
    manifest = version.manifest
    assert (manifest.output.kind, manifest.labels) == (kind, LABELS[:labels])
    assert manifest.parity is not None
    assert manifest.parity.max_abs_difference <= 1e-4

    pixels = np.random.default_rng(5).integers(0, 256, (5, *axes), dtype=np.uint8)
    inputs = pixels.astype(np.float32) / (255 if "--scale" in options else 1)
    inputs = inputs.reshape(len(pixels), *(axis for axis in axes if axis > 1))
    if network.inputs[0].shape[1] == 3:
        inputs = inputs.transpose(0, 3, 1, 2)
    outputs = network(inputs, training=False)
    chosen = outputs[options[1]] if isinstance(outputs, dict) else outputs
    expected = np.asarray(chosen, np.float32).reshape(len(pixels), -1)
    if labels == 2:
        expected = np.concatenate([1 - expected, expected], axis=1)
    assert np.ptp(expected) > 1e-3, "the case tells nothing"
    # Keras's own rounding in 16 bits is the larger difference there.
    reach = 2e-3 if network.compute_dtype == "float16" else 1e-4
    np.testing.assert_allclose(scores(version, pixels), expected, atol=reach)


def test_pixels_are_uint8_if_the_network_scales_them(run_import: Import, tmp_path: Path) -> None:
    keras_networks.adapted().save(tmp_path / "mine.keras")
    assert run_import(tmp_path / "mine.keras") == 0
    assert read_version(tmp_path / "models", "net").manifest.input.dtype == "uint8"


def plain(*shape: int | None) -> keras.Model:
    return keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(3)])


def save_lambda(folder: Path) -> Path:
    network = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Lambda(lambda x: x / 255), layers.Flatten(), layers.Dense(3)]
    )
    network.save(folder / "lambda.keras")
    return folder / "lambda.keras"


class Halve(layers.Layer):  # type: ignore[misc]
    """A layer that Keras does not have."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs / 2


def save_custom(folder: Path, suffix: str) -> Path:
    network = keras.Sequential([keras.Input((8, 8, 3)), Halve(), layers.Flatten(), layers.Dense(3)])
    network.save(folder / f"custom{suffix}")
    return folder / f"custom{suffix}"


def save(network: keras.Model) -> Callable[[Path], Path]:
    def save(folder: Path) -> Path:
        network.save(folder / "mine.keras")
        return folder / "mine.keras"

    return save


def write(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def save_weights(folder: Path) -> Path:
    plain(8, 8, 3).save_weights(folder / "mine.weights.h5")
    return folder / "mine.weights.h5"


def save_unbuilt(folder: Path) -> Path:
    keras.Sequential([layers.Flatten(), layers.Dense(3)]).save(folder / "mine.keras")
    return folder / "mine.keras"


def save_two_inputs(folder: Path) -> Path:
    first, second = keras.Input((8, 8, 3)), keras.Input((4,))
    flat = layers.Concatenate()([layers.Flatten()(first), second])
    return save(keras.Model([first, second], layers.Dense(3)(flat)))(folder)


def save_module(
    signature: tuple[list[int | None], tf.DType] | None, result: Callable[[tf.Tensor], tf.Tensor]
) -> Callable[[Path], Path]:
    """Return a function that saves a SavedModel, without a signature if it is None."""

    def save(folder: Path) -> Path:
        module = tf.Module()
        path = folder / "saved"
        if signature is None:
            tf.saved_model.save(module, path)
        else:
            function = tf.function(result, input_signature=[tf.TensorSpec(*signature, name="images")])
            tf.saved_model.save(module, path, signatures=function)
        return path

    return save


def augmented(images: tf.Tensor) -> tf.Tensor:
    """Scale each pixel at random, as a network does that was exported in the mode of its training."""
    noise = tf.random.stateless_uniform([8, 8, 1], tf.shape(images)[1:3])
    return tf.reduce_mean(images * noise, axis=[1, 2])


IMAGES = ([None, 8, 8, 3], tf.float32)
REJECTED: dict[str, tuple[Callable[[Path], Path], tuple[str, ...], str]] = {
    "missing": (lambda folder: folder / "no.keras", (), "no.keras cannot be read: no such file"),
    "damaged": (write("mine.keras", b"PK\x03\x04 and so on"), (), "it is damaged or has another format"),
    "damaged h5": (write("mine.h5", b"\x89HDF\r\n\x1a\n and so on"), (), "cannot be read by Keras: "),
    "weights": (save_weights, (), "has weights without their network; save the network with model.save"),
    "lambda": (save_lambda, (), "contains a Lambda layer with Python code, which is not run; export it"),
    "custom": (
        lambda folder: save_custom(folder, ".keras"),
        (),
        "needs the class Halve, which Keras",
    ),
    "custom h5": (
        lambda folder: save_custom(folder, ".h5"),
        (),
        "needs the class Halve, which Keras",
    ),
    "unbuilt": (save_unbuilt, (), "does not tell the shape of its input; call the network on a batch"),
    "inputs": (save_two_inputs, (), "has 2 inputs ("),
    "no images": (save(plain(7)), ("--raw-pixels",), "rows of 7 numbers, which are no square image"),
    "maps": (
        save(keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(3, 3)])),
        ("--raw-pixels",),
        "returns float32 [1, 6, 6, 3] for 1 images; expected the output of a classifier",
    ),
    "normalisation": (
        save(plain(8, 8, 3)),
        (),
        "does not scale pixels itself; give the options that do what its training did: --scale 1/255 for 0 "
        "to 1, --scale 1/127.5 --mean 1,1,1 for -1 to 1, or --raw-pixels for 0 to 255",
    ),
    "output": (
        lambda folder: save(keras_networks.two_outputs())(folder),
        ("--size", "24x32"),
        "has 2 outputs; choose the scores with --output kind or good",
    ),
    "no output": (
        lambda folder: save(keras_networks.two_outputs())(folder),
        ("--size", "24x32", "--output", "bad"),
        "has no output 'bad'; it has kind, good",
    ),
    "size": (
        lambda folder: save(keras_networks.two_outputs())(folder),
        ("--output", "kind"),
        "set them with --size",
    ),
    "no signature": (
        save_module(None, lambda x: x),
        (),
        "has no serving signature; save it",
    ),
    "text": (
        save_module(([None], tf.string), tf.strings.length),
        (),
        "takes encoded images or other text; expected a batch of pixels",
    ),
    "fixed batch": (
        save_module(([8, 8, 8, 3], tf.float32), lambda x: tf.reduce_mean(x, [1, 2])),
        (),
        "has a fixed batch of 8; save it with a free batch axis",
    ),
    "random": (
        save_module(IMAGES, augmented),
        ("--raw-pixels",),
        "was exported with its augmentation; import its .keras file",
    ),
    "operation": (
        save_module(IMAGES, lambda x: tf.math.bessel_i0(tf.reduce_mean(x, [1, 2]))),
        ("--raw-pixels",),
        "tf2onnx does not know the operation BesselI0",
    ),
    "saved normalisation": (
        save_module(IMAGES, lambda x: tf.reduce_mean(x, [1, 2])),
        (),
        "does not scale pixels itself",
    ),
}


@pytest.mark.parametrize(("make", "options", "words"), REJECTED.values(), ids=REJECTED)
def test_unsuitable_file_is_rejected_in_one_sentence(
    run_import: Import,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    make: Callable[[Path], Path],
    options: tuple[str, ...],
    words: str,
) -> None:
    assert run_import(make(tmp_path), *options) in (1, 2)
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    (sentence,) = [line for line in stderr.splitlines() if line.startswith("convserve-export: ")]
    assert words in sentence
    assert stderr.endswith(sentence + "\n")
    models = tmp_path / "models"
    assert not models.exists() or not list(models.iterdir())


def test_application_names_its_own_normalisation(
    run_import: Import, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = plain(8, 8, 3)
    network.name = "resnet50"
    network.save(tmp_path / "mine.keras")
    assert run_import(tmp_path / "mine.keras") == 2
    line = "--channel-order bgr --mean 123.68,116.779,103.939 for resnet50 of keras.applications"
    assert line in capsys.readouterr().err


def test_wrong_labels_are_rejected_before_the_conversion(
    run_import: Import, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keras_networks.adapted().save(tmp_path / "mine.keras")
    assert run_import(tmp_path / "mine.keras", labels=LABELS[:2]) == 1
    assert "has 3 classes, but" in capsys.readouterr().err
    assert main(["import", str(tmp_path / "mine.keras"), "--models", str(tmp_path / "models")]) == 2
    assert "pass --labels FILE with one label per line" in capsys.readouterr().err


def test_other_labels_do_not_replace_a_version(
    run_import: Import, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keras_networks.adapted().save(tmp_path / "mine.keras")
    assert run_import(tmp_path / "mine.keras") == 0
    others = ("cat", "dog", "halt")
    assert run_import(tmp_path / "mine.keras", labels=others) == 1
    assert "choose another --name, or pass --replace-labels" in capsys.readouterr().err
    assert run_import(tmp_path / "mine.keras", "--replace-labels", labels=others) == 0
    manifest = json.loads((tmp_path / "models" / "net" / "2" / "manifest.json").read_text())
    assert manifest["labels"] == list(others)


def test_double_scaling_is_told(
    run_import: Import, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keras_networks.adapted().save(tmp_path / "mine.keras")
    assert run_import(tmp_path / "mine.keras", "--scale", "1/127.5") == 0
    assert "note: the network scales pixels itself, after what the options do" in capsys.readouterr().err
    assert read_version(tmp_path / "models", "net").manifest.input.scale == pytest.approx(1 / 127.5)
