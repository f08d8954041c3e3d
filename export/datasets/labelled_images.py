"""Finds the labelled images that a published model is evaluated on.

A folder contains one of these:

- the four IDX files of MNIST, or GTSRB in one of its formats: the test set is used;
- `train` and perhaps `test`, as for a training: the images are used that the training did not see;
- `test`, `val`, `valid` or `validation` with a folder of images per class;
- a folder of images per class.

The folder of a class has the name of its label. It may have the number of its class instead, if all have one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import DatasetError
from ..imaging.decoder import prepared
from ..repository.io_spec import InputSpec
from . import gtsrb, image_folder, mnist
from .dataset import Dataset, Examples, FileExamples, InMemoryExamples
from .image_files import Location, Size, decode

Indices = NDArray[np.intp]

_PARTS: Final = ("test", "val", "valid", "validation")


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images with their true classes, prepared for a graph as the server prepares them.

    Attributes:
        dataset: the name of the data set.
        names: the name of each image in messages.
        labels: the true class of each image, [images].
        sources: a file or, in memory, uint8 [height, width, channels], for each image.
        unreadable: the reason for each image that could not be read so far, by name.
    """

    dataset: str
    names: Sequence[str]
    labels: NDArray[np.int64]
    sources: Sequence[Location] | NDArray[np.uint8]
    unreadable: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, indices: Indices, spec: InputSpec) -> tuple[NDArray[np.uint8], Indices]:
        """Read and prepare images.

        Returns:
            The pixels, uint8 [images, height, width, channels], and the indices that could be read.
        """
        assert spec.height is not None
        assert spec.width is not None
        size = Size.of(spec)
        pixels, kept = [], []
        for index in indices:
            try:
                pixels.append(self._read(int(index), size))
                kept.append(index)
            except DatasetError as error:
                self.unreadable[self.names[int(index)]] = str(error)
        empty = np.zeros((0, spec.height, spec.width, spec.channels), np.uint8)
        return np.stack(pixels) if pixels else empty, np.array(kept, np.intp)

    def limit(self, count: int) -> LabelledImages:
        """Return at most `count` images, evenly spaced over the classes."""
        if count >= len(self):
            return self
        order = np.argsort(self.labels, kind="stable")
        kept = np.sort(order[np.arange(count) * len(self) // count])
        sources = self.sources
        return LabelledImages(
            self.dataset,
            [self.names[index] for index in kept],
            self.labels[kept],
            sources[kept] if isinstance(sources, np.ndarray) else [sources[index] for index in kept],
            self.unreadable,
        )

    def _read(self, index: int, size: Size) -> NDArray[np.uint8]:
        source = self.sources[index]
        if isinstance(source, Location):
            return decode(source.read(), size)
        image = Image.fromarray(source[..., 0] if source.shape[2] == 1 else source)
        mode = "L" if size.channels == 1 else "RGB"
        return prepared(image if image.mode == mode else image.convert(mode), size)


def load_test_images(folder: Path | None, labels: Sequence[str], spec: InputSpec) -> LabelledImages:
    """Load the images that a model with these labels is evaluated on.

    Raises:
        DatasetError: there are none, or the classes are not those of the model.
    """
    if folder is None:
        raise DatasetError(
            "pass --data DIR (or set CONVSERVE_DATA) with a folder that contains one folder of images per "
            "class, MNIST or GTSRB"
        )
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder")
    if (dataset := load_known(folder, Size.of(spec))) is not None:
        return of_dataset(dataset, dataset.test, labels)
    part = next((folder / name for name in _PARTS if (folder / name).is_dir()), folder)
    return _load_classes(part, folder.resolve().name, labels)


def load_known(folder: Path, size: Size) -> Dataset | None:
    """Load the data set in a folder as for a training; None if it has none of the forms of a training."""
    if mnist.is_mnist(folder):
        return mnist.load(folder)
    if gtsrb.is_gtsrb(folder):
        return gtsrb.load(folder, size)
    if (folder / "train").is_dir():
        return image_folder.load(folder, size)
    return None


def of_dataset(dataset: Dataset, examples: Examples, labels: Sequence[str]) -> LabelledImages:
    """Return some examples of a data set whose labels are among the labels of a model.

    Raises:
        DatasetError: a label of the data set is not one of the model's.
    """
    classes = _match(dataset.labels, labels, dataset.name)
    truth = np.array([classes[label] for label in dataset.labels], np.int64)[examples.labels]
    if isinstance(examples, FileExamples):
        names = [location.name for location in examples.locations]
        return LabelledImages(dataset.name, names, truth, examples.locations)
    assert isinstance(examples, InMemoryExamples)
    names = [f"image {number}" for number in range(len(examples))]
    return LabelledImages(dataset.name, names, truth, examples.images)


def _load_classes(folder: Path, dataset: str, labels: Sequence[str]) -> LabelledImages:
    found = image_folder.list_classes(folder)
    if not found:
        raise DatasetError(
            f"{folder} contains no folders; expected one folder of images per class, named like a label of "
            f"the model, such as {labels[0]!r}"
        )
    classes = _match(found, labels, str(folder))
    entries = [(classes[name], path) for name in found for path in image_folder.list_images(folder / name)]
    if not entries:
        raise DatasetError(f"the {len(found)} folders in {folder} contain no images")
    names = [str(path.relative_to(folder)) for _, path in entries]
    return LabelledImages(
        dataset,
        names,
        np.array([index for index, _ in entries], np.int64),
        [Location(path, name) for (_, path), name in zip(entries, names, strict=True)],
    )


def _match(found: Sequence[str], labels: Sequence[str], where: str) -> Mapping[str, int]:
    """Return the index of the class for each name: a label, or the number of a class."""
    known = {label: index for index, label in reversed(list(enumerate(labels)))}
    unknown = [name for name in found if name not in known]
    if unknown and all(name.isascii() and name.isdigit() and int(name) < len(labels) for name in found):
        return {name: int(name) for name in found}
    if unknown:
        raise DatasetError(
            f"{where} contains the class {unknown[0]!r}, which is not one of the {len(labels):,} labels of "
            f"the model, such as {', '.join(repr(label) for label in labels[:3])}"
        )
    return {name: known[name] for name in found}
