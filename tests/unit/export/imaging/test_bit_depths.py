"""The same images in 8 and 16 bits and in floating-point numbers are the same to training and to serving."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from export.datasets import image_folder
from export.datasets.dataset import InMemoryExamples, cache_in_memory
from export.datasets.image_files import Size
from export.networks.preprocessing import from_pixels
from export.training.augment import Augmentation
from export.training.optimizers import Adam
from export.training.train import TrainingPlan, train
from service.imaging.decoder import Decoder
from service.repository.manifest import InputSpec
from tests.support.images.drawn_mnist import draw_digits
from tests.support.images.image_cases import Array, encode

SIZE = Size(28, 28, 1, "stretch")
FORMS: Mapping[str, Callable[[Array], bytes]] = {
    "8 bits.png": lambda grey: encode(grey, "PNG"),
    "16 bits.png": lambda grey: encode(grey.astype(np.uint16) * 257, "PNG"),
    "float.tiff": lambda grey: encode(grey.astype(np.float32) / 255, "TIFF", compression="tiff_lzw"),
}


def build() -> keras.Model:
    inputs = keras.Input((28, 28, 1))
    x = keras.layers.Flatten()(keras.layers.Conv2D(2, 5, strides=4, activation="relu")(inputs))
    return from_pixels(keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(x)))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of 240 digits of 40x36 pixels for each form."""
    home = tmp_path_factory.mktemp("forms")
    digits, labels = draw_digits(24, seed=3)
    for name, write in FORMS.items():
        for index, (digit, label) in enumerate(zip(digits, labels.tolist(), strict=True)):
            grey = np.asarray(Image.fromarray(digit).resize((40, 36), Image.Resampling.BICUBIC))
            path = home / name / "train" / str(label) / f"{index:03}{Path(name).suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(write(grey))
    return {name: home / name for name in FORMS}


def loaded(folder: Path) -> tuple[InMemoryExamples, InMemoryExamples]:
    dataset = image_folder.load(folder, SIZE)
    training, testing = cache_in_memory(dataset.train), cache_in_memory(dataset.test)
    assert isinstance(training, InMemoryExamples)
    assert isinstance(testing, InMemoryExamples)
    assert len(training) + len(testing) == 240
    return training, testing


def test_depth_of_the_files_changes_no_weight(folders: Mapping[str, Path]) -> None:
    plan = TrainingPlan(epochs=2, batch_size=24, optimizer=Adam(3e-3), augmentation=Augmentation())
    splits = {name: loaded(folder) for name, folder in folders.items()}
    states = {name: train(build, *each, plan, seed=1)[1] for name, each in splits.items()}
    plain, *others = FORMS
    assert splits[plain][0].images.std() > 20
    for name in others:
        for one, other in zip(splits[plain], splits[name], strict=True):
            np.testing.assert_array_equal(one.images, other.images)
        for first, second in zip(states[plain].values, states[name].values, strict=True):
            np.testing.assert_array_equal(first, second)


def test_server_decodes_the_images_that_were_trained_on(folders: Mapping[str, Path]) -> None:
    fields = {"name": "pixels", "dtype": "uint8", "layout": "NHWC", "scale": None, "mean": None, "std": None}
    decoder = Decoder(InputSpec.model_validate(fields | vars(SIZE)), max_pixels=10_000)
    for name, folder in folders.items():
        training, _ = loaded(folder)
        files = [path.read_bytes() for path in sorted((folder / "train").rglob("*.*"))]
        decoded = {decoder.decode(decoder.open(data)).tobytes() for data in files}
        assert len(files) == 240, name
        assert {image.tobytes() for image in training.images} <= decoded
