"""Networks of Keras in each of their formats: imported by the command and served."""

from __future__ import annotations

import json
import shlex
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from export.cli.main import main
from export.graph.preprocessing import preprocess
from export.repository.repository_reader import read_version
from tests.support.clients.all_dialects import ask_all
from tests.support.models import keras_networks
from tests.support.models.keras_networks import SIGNS
from tests.support.server.server_process import FREE_GRPC_PORT, ServerProcess

# Keras saves its weights with a call that numpy deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FORMATS: dict[str, tuple[str, Callable[[keras.Model, Path], None]]] = {
    "keras": ("signs.keras", lambda network, path: network.save(path)),
    "h5": ("signs.h5", lambda network, path: network.save(path)),
    "saved-model": ("signs", lambda network, path: network.export(path, verbose=False)),
}
CAFFE = ("--channel-order", "bgr", "--mean", "123.68,116.779,103.939")
APPLICATIONS = {
    "MobileNetV2": ("--scale", "1/127.5", "--mean", "1,1,1"),
    "ResNet50": CAFFE,
    "EfficientNetB0": (),
}
CLASSES = 10


class Signs:
    """Images of signs in folders, and a network that was trained on them."""

    def __init__(self, folder: Path) -> None:
        self.images, self.labels = keras_networks.draw_signs(10)
        self.network, self.history = keras_networks.trained_network(self.images, self.labels)
        self.folder = folder
        for number, (image, label) in enumerate(zip(self.images, self.labels, strict=True)):
            path = folder / "data" / SIGNS[label] / f"{number:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
        (folder / "labels.txt").write_text("\n".join(SIGNS), encoding="utf-8-sig")
        (folder / "history.json").write_text(json.dumps(self.history))


def classify(url: str, content: bytes) -> Any:
    request = urllib.request.Request(url, content, {"Content-Type": "image/png"})
    with urllib.request.urlopen(request) as response:
        return json.load(response)["predictions"][0]


@pytest.fixture(scope="module")
def signs(tmp_path_factory: pytest.TempPathFactory) -> Signs:
    return Signs(tmp_path_factory.mktemp("signs"))


@pytest.fixture
def imported(
    signs: Signs, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> Callable[[str], tuple[Path, str]]:
    """Saves the network in a format and imports it; returns its version and standard error."""

    def imported(kind: str) -> tuple[Path, str]:
        name, save = FORMATS[kind]
        save(signs.network, tmp_path / name)
        capfd.readouterr()
        code = main(
            [
                *("import", str(tmp_path / name), "--labels", str(signs.folder / "labels.txt")),
                *("--data", str(signs.folder / "data"), "--history", str(signs.folder / "history.json")),
                *("--models", str(tmp_path / "my models")),
            ]
        )
        stdout, stderr = capfd.readouterr()
        assert code == 0, stderr
        return Path(stdout.rstrip("\n")), stderr

    return imported


@pytest.mark.parametrize("kind", FORMATS)
def test_trained_network_is_right_over_http_after_one_command(
    signs: Signs, imported: Callable[[str], tuple[Path, str]], kind: str
) -> None:
    version, stderr = imported(kind)
    expected = np.asarray(signs.network(signs.images.astype(np.float32), training=False))
    assert (expected.argmax(axis=1) == signs.labels).all(), "the training failed"

    manifest = json.loads((version / "manifest.json").read_text())
    assert (manifest["input"]["dtype"], manifest["output"]["kind"]) == ("uint8", "probabilities")
    assert manifest["parity"]["examples"] == 4 + len(signs.images)
    assert manifest["parity"]["max_abs_difference"] <= 1e-4
    assert manifest["evaluation"]["accuracy"] == 1
    card = (version / "README.md").read_text()
    pictures = ["example.png", "curves.png", "confusion.png"]
    pictures += [] if kind == "saved-model" else ["kernels.png"]
    assert all(f"]({name})" in card and (version / name).is_file() for name in pictures)
    with np.load(version / "golden.npz") as golden:
        witnessed = np.asarray(signs.network(golden["inputs"].astype(np.float32), training=False))
        np.testing.assert_allclose(golden["outputs"], witnessed, atol=1e-6)

    *lines, step = stderr.splitlines()
    witness = "TensorFlow" if kind == "saved-model" else "Keras"
    assert [line for line in lines if f" of {witness} on 34 images" in line]
    assert "data: accuracy 100.00% on 30 test images" in stderr
    with ServerProcess(version.parents[1]) as server:
        url = f"{server.url}/models/signs/classify"
        for image, label, row in zip(signs.images, signs.labels, expected, strict=True):
            path = signs.folder / "image.png"
            Image.fromarray(image).save(path)
            best = classify(url, path.read_bytes())["top_k"][0]
            assert best["label"] == SIGNS[label]
            assert best["probability"] == pytest.approx(float(row.max()), abs=1e-4)
        # The last line of the command names the example and the path of this URL.
        words = shlex.split(step)
        assert step.startswith(f"serve it: convserve serve --models '{version.parents[1]}'; ask it ")
        assert words[-1] == f"http://127.0.0.1:8000{url.removeprefix(server.url)}"
        (example,) = [word.removeprefix("@") for word in words if word.startswith("@")]
        answer = classify(url, Path(example).read_bytes())
        assert answer["top_k"][0]["label"] == manifest["example"]["label"]


@pytest.fixture(scope="module")
def applications(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, keras.Model]]:
    """Networks of keras.applications with random weights that were never called, imported."""
    folder = tmp_path_factory.mktemp("applications")
    (folder / "labels.txt").write_text("".join(f"class {index}\n" for index in range(CLASSES)))
    networks = {}
    for name, options in APPLICATIONS.items():
        keras.utils.set_random_seed(2)
        networks[name] = getattr(keras.applications, name)(
            weights=None, classes=CLASSES, input_shape=(96, 96, 3)
        )
        networks[name].save(folder / f"{name}.keras")
        files = (str(folder / f"{name}.keras"), "--labels", str(folder / "labels.txt"))
        assert main(["import", *files, "--models", str(folder / "models"), *options]) == 0
    return folder / "models", networks


@pytest.fixture(scope="module")
def serving(applications: tuple[Path, dict[str, keras.Model]]) -> Iterator[ServerProcess]:
    with ServerProcess(applications[0], *FREE_GRPC_PORT) as server:
        yield server


def keras_inputs(name: str, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Preprocess as keras.applications does."""
    modules = {"MobileNetV2": "mobilenet_v2", "ResNet50": "resnet50", "EfficientNetB0": "efficientnet"}
    module = getattr(keras.applications, modules[name])
    inputs: NDArray[np.float32] = module.preprocess_input(pixels.astype(np.float32))
    return inputs


@pytest.mark.parametrize("name", APPLICATIONS)
def test_application_is_served_as_keras_computes_it(
    applications: tuple[Path, dict[str, keras.Model]], serving: ServerProcess, name: str
) -> None:
    models, networks = applications
    manifest = read_version(models, name).manifest
    assert manifest.parity is not None
    assert manifest.parity.max_abs_difference <= 1e-4
    pixels = np.random.default_rng(3).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    expected = np.asarray(networks[name](keras_inputs(name, pixels[np.newaxis]), training=False))[0]
    answers = ask_all(serving, name, pixels, preprocess(pixels[np.newaxis], manifest.input)[0])
    for dialect, scores in answers.scores.items():
        np.testing.assert_allclose(scores, expected, atol=1e-4, err_msg=dialect)
