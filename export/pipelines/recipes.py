"""What can be trained and exported: one row a network, with its data set and how it is trained on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ..datasets import gtsrb, image_folder, mnist, synthetic_images
from ..datasets.dataset import Dataset
from ..datasets.image_files import Size
from ..errors import DatasetError
from ..networks import alexnet, convnet, lenet5, signnet
from ..networks.preprocessing import (
    INPUT,
    Preparation,
    centred,
    colour_balanced,
    locally_normalised,
    rescaled,
    standardised,
    stretched,
)
from ..repository.manifest import InputSpec
from ..training.augment import Affine, Augmentation
from ..training.optimizers import Adam, Momentum
from ..training.train import Plan

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a network is trained on one kind of pictures.

    `size` is what they are read in for training, where it is not that of the input: a random part of them is
    then cut out. `build` and `preparations` are there where they are not those of the recipe.
    """

    plan: Plan
    size: Size | None = None
    build: Callable[[int], keras.Model] | None = None
    preparations: tuple[Preparation, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that tells one network's export from another's.

    `build` and `parameters` take the number of classes, `classes` is that of the publication. `columns` are
    the ways in which the columns of a committee prepare their pictures, as many as are trained unless another
    number is asked for; `half_weights` has their weights published as numbers of 16 bits. `load` takes the
    folder of --data, or None; `held_out` is the part of the training pictures kept for validation. On
    photographs the training takes its own course, if there is one.
    `golden` makes from the seed the inputs whose answers are published with the model, and `example` the
    picture to try, [height, width, channels].
    """

    description: str
    build: Callable[[int], keras.Model]
    parameters: Callable[[int], int]
    classes: int
    labels: tuple[str, ...]
    input: InputSpec
    load: Callable[[Path | None, Size], Dataset]
    held_out: float
    course: Course
    photographs: Course | None = None
    preparations: tuple[Preparation, ...] = (rescaled,)
    columns: int = 1
    half_weights: bool = False
    golden: Callable[[int], NDArray[np.uint8]]
    example: Callable[[], NDArray[np.uint8]]
    max_batch_size: int
    tolerance: float


def pictures(where: Path | None, size: Size) -> Dataset:
    """GTSRB, or else the class folders in a folder.

    Raises:
        DatasetError: there is no folder, or it holds neither.
    """
    if where is None:
        raise DatasetError(
            "pictures are not downloaded: pass --data DIR (or set CONVSERVE_DATA) with a folder that holds "
            "GTSRB, or train/<label>/ with the pictures of each class"
        )
    return gtsrb.load(where, size) if gtsrb.found_in(where) else image_folder.load(where, size)


def _digits(where: Path | None, size: Size) -> Dataset:
    return mnist.load(where)


_DIGIT: Final = InputSpec(
    name=INPUT,
    dtype="uint8",
    layout="NHWC",
    height=mnist.SIDE,
    width=mnist.SIDE,
    channels=1,
    resize="fit",
    polarity="light-on-dark",
)


def _photograph(side: int) -> InputSpec:
    return replace(_DIGIT, height=side, width=side, channels=3, resize="stretch", polarity=None)


_CONVNET: Final = Recipe(
    description="Handwritten digits: the convnet of Listing 8.1, Deep Learning with Python, on MNIST.",
    build=convnet.build,
    parameters=convnet.parameters,
    classes=10,
    labels=mnist.LABELS,
    input=_DIGIT,
    load=_digits,
    held_out=1 / 12,
    course=Course(
        plan=Plan(
            epochs=40,
            batch_size=128,
            descent=Adam(2e-3),
            augmentation=Augmentation(warp=Affine(rotation=10, scale=0.1, shear=8, translation=2)),
        )
    ),
    golden=synthetic_images.digits_and_none,
    example=lambda: synthetic_images.digit(7),
    max_batch_size=64,
    tolerance=1e-4,
)

RECIPES: Final[Mapping[str, Recipe]] = {
    "convnet": _CONVNET,
    "lenet5": replace(
        _CONVNET,
        description="Handwritten digits: LeNet-5 (LeCun et al., 1998) on MNIST.",
        build=lenet5.build,
        parameters=lenet5.parameters,
        course=Course(
            plan=Plan(
                epochs=24,
                batch_size=128,
                descent=Adam(3e-3),
                augmentation=Augmentation(warp=Affine(rotation=8, scale=0.1, shear=6, translation=1.5)),
            )
        ),
    ),
    "signnet": Recipe(
        description="The committee of convolutional networks that won the German traffic-sign competition "
        "(Cireşan et al., IJCNN 2011).",
        build=signnet.build,
        parameters=signnet.parameters,
        classes=43,
        labels=gtsrb.LABELS,
        input=_photograph(signnet.SIDE),
        load=pictures,
        held_out=0.04,
        course=Course(
            plan=Plan(
                epochs=20,
                batch_size=64,
                descent=Adam(1e-3, warmup=0.1),
                augmentation=Augmentation(
                    warp=Affine(rotation=10, scale=0.12, shear=5, translation=3, border="nearest")
                ),
            )
        ),
        preparations=(standardised, locally_normalised, colour_balanced, stretched),
        columns=5,
        half_weights=True,
        golden=lambda seed: synthetic_images.signs_and_none(seed, signnet.SIDE),
        example=lambda: synthetic_images.no_entry(signnet.SIDE),
        max_batch_size=64,
        tolerance=1e-4,
    ),
    "alexnet": Recipe(
        description="AlexNet, the winner of ILSVRC-2012 (Krizhevsky, Sutskever, Hinton, 2012).",
        build=alexnet.build,
        parameters=alexnet.parameters,
        classes=alexnet.CLASSES,
        labels=(),
        input=_photograph(alexnet.SIDE),
        load=pictures,
        held_out=0.04,
        course=Course(
            plan=Plan(
                epochs=8,
                batch_size=32,
                descent=Adam(2e-4, warmup=0.1),
                augmentation=Augmentation(
                    warp=Affine(rotation=8, scale=0.1, shear=5, translation=14, border="nearest")
                ),
            ),
            build=alexnet.build_for_standardised,
            preparations=(standardised,),
        ),
        photographs=Course(
            plan=Plan(
                epochs=90,
                batch_size=128,
                descent=Momentum(0.01, drops=(0.33, 0.66, 0.9)),
                augmentation=Augmentation(crop=(alexnet.SIDE, alexnet.SIDE), mirror=True, colour=0.1),
            ),
            size=Size(256, 256, 3, "crop"),
        ),
        preparations=(centred,),
        golden=lambda seed: synthetic_images.signs_and_none(seed, alexnet.SIDE),
        example=lambda: synthetic_images.no_entry(alexnet.SIDE),
        # A processor gains nothing by more, and each picture of a batch takes ten megabytes for good.
        max_batch_size=16,
        tolerance=1e-4,
    ),
}
