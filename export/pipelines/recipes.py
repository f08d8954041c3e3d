"""Recipes: for each network its builder, data set and training schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    Preprocessing,
    centred,
    colour_balanced,
    locally_normalized,
    rescaled,
    standardized,
    stretched,
)
from ..repository.manifest import InputSpec, Manifest
from ..training.augment import Affine, Augmentation
from ..training.faults import Faults
from ..training.optimizers import Adam, Momentum
from ..training.train import TrainingPlan

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, kw_only=True)
class TrainingSchedule:
    """A training plan for one kind of images.

    Attributes:
        plan: the hyperparameters.
        size: the size of the training images before random crops; None for the size of the input.
        build: builds the network from the number of classes; None for the recipe's builder.
        preprocessings: the preprocessing of each ensemble member; None for that of the recipe.
    """

    plan: TrainingPlan
    size: Size | None = None
    build: Callable[[int], keras.Model] | None = None
    preprocessings: tuple[Preprocessing, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that distinguishes the export of one network from another.

    Attributes:
        description: one sentence for the manifest.
        build: builds the untrained network from the number of classes.
        parameters: the number of parameters for a number of classes.
        classes: the number of classes in the publication.
        labels: the labels in the publication; empty if unknown.
        input: the input of the published graph.
        load: loads the data set from the folder of --data, or None, at a size.
        dataset: the name of the data set that the model is published for under the network's name; None for
            one that cannot be recognized.
        held_out: the fraction of the training images that is held out for validation.
        schedule: the training schedule.
        photo_schedule: the training schedule on photographs; None for `schedule`.
        refinement: the training plan of a training that starts from a published version; None for that of
            the schedule.
        preprocessings: the preprocessing of each ensemble member.
        members: the default number of ensemble members.
        float16_weights: rounds the published weights to float16.
        golden: creates the golden inputs, [images, height, width, channels], from a seed.
        example: creates the example image, [height, width, channels].
        max_batch_size: the largest batch of the published graph.
        tolerance: the tolerance of the golden outputs.
        notes: sentences for the model card about the use of the model and the meaning of its figures.
    """

    description: str
    build: Callable[[int], keras.Model]
    parameters: Callable[[int], int]
    classes: int
    labels: tuple[str, ...]
    input: InputSpec
    load: Callable[[Path | None, Size], Dataset]
    held_out: float
    dataset: str | None = None
    schedule: TrainingSchedule
    photo_schedule: TrainingSchedule | None = None
    refinement: TrainingPlan | None = None
    preprocessings: tuple[Preprocessing, ...] = (rescaled,)
    members: int = 1
    float16_weights: bool = False
    golden: Callable[[int], NDArray[np.uint8]]
    example: Callable[[], NDArray[np.uint8]]
    max_batch_size: int
    tolerance: float
    notes: tuple[str, ...] = ()


def notes_of(manifest: Manifest) -> Sequence[str]:
    """Return the notes for the model card of a model that has the name and the labels of a recipe."""
    recipe = RECIPES.get(manifest.name)
    return recipe.notes if recipe is not None and recipe.labels == manifest.labels else ()


def load_images(folder: Path | None, size: Size) -> Dataset:
    """Load GTSRB or any image folder.

    Raises:
        DatasetError: `folder` is None, or contains neither.
    """
    if folder is None:
        raise DatasetError(
            "this data set is not downloaded: pass --data DIR (or set CONVSERVE_DATA) with a folder that "
            "contains GTSRB, or train/<label>/ with the images of each class"
        )
    return gtsrb.load(folder, size) if gtsrb.is_gtsrb(folder) else image_folder.load(folder, size)


def _load_digits(folder: Path | None, size: Size) -> Dataset:
    return mnist.load(folder)


_DIGIT_INPUT: Final = InputSpec(
    name=INPUT,
    dtype="uint8",
    layout="NHWC",
    height=mnist.SIDE,
    width=mnist.SIDE,
    channels=1,
    resize="ink",
    polarity="light-on-dark",
)


def _rgb_input(side: int) -> InputSpec:
    return replace(_DIGIT_INPUT, height=side, width=side, channels=3, resize="stretch", polarity=None)


_CONVNET: Final = Recipe(
    description="Handwritten digits: the convnet of Listing 8.1, Deep Learning with Python, on MNIST.",
    build=convnet.build,
    parameters=convnet.parameters,
    classes=10,
    labels=mnist.LABELS,
    input=_DIGIT_INPUT,
    load=_load_digits,
    dataset="MNIST",
    held_out=1 / 12,
    schedule=TrainingSchedule(
        plan=TrainingPlan(
            epochs=40,
            batch_size=128,
            optimizer=Adam(2e-3),
            augmentation=Augmentation(warp=Affine(rotation=10, scale=0.1, shear=8, translation=2)),
        )
    ),
    golden=synthetic_images.golden_digits,
    example=lambda: synthetic_images.digit(7),
    max_batch_size=64,
    tolerance=1e-4,
    notes=("An image shows one digit; other signs and empty paper are classified as digits too.",),
)

RECIPES: Final[Mapping[str, Recipe]] = {
    "convnet": _CONVNET,
    "lenet5": replace(
        _CONVNET,
        description="Handwritten digits: LeNet-5 (LeCun et al., 1998) on MNIST.",
        build=lenet5.build,
        parameters=lenet5.parameters,
        schedule=TrainingSchedule(
            plan=TrainingPlan(
                epochs=24,
                batch_size=128,
                optimizer=Adam(3e-3),
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
        input=_rgb_input(signnet.SIDE),
        load=load_images,
        dataset="GTSRB",
        held_out=0.04,
        schedule=TrainingSchedule(
            plan=TrainingPlan(
                epochs=20,
                batch_size=64,
                optimizer=Adam(1e-3, warmup=0.1),
                augmentation=Augmentation(
                    warp=Affine(rotation=10, scale=0.12, shear=5, translation=3, border="nearest")
                ),
            )
        ),
        refinement=TrainingPlan(
            epochs=6,
            batch_size=128,
            optimizer=Adam(8e-4, warmup=0.05),
            augmentation=Augmentation(
                warp=Affine(rotation=10, scale=0.1, shear=5, translation=2, border="nearest"),
                faults=Faults(
                    shift=0.18,
                    scale=0.2,
                    occlusion=0.3,
                    blur=0.03,
                    quality=10,
                    size=0.5,
                    noise=25,
                    probability=0.5,
                ),
            ),
        ),
        preprocessings=(standardized, locally_normalized, colour_balanced, stretched),
        members=5,
        float16_weights=True,
        golden=lambda seed: synthetic_images.golden_signs(seed, signnet.SIDE),
        example=lambda: synthetic_images.no_entry(signnet.SIDE),
        max_batch_size=64,
        tolerance=1e-4,
        notes=(
            "An image shows one sign in its middle, with a margin of about 10 % of its size on each side, as "
            "in GTSRB; a crop that is shifted or has another margin is recognised less often.",
            "The accuracy on GTSRB scaled to 32x32 cannot be compared directly with published ones: people "
            "(98.84 %) and the winner of the competition (99.46 %) saw the images in full size.",
        ),
    ),
    "alexnet": Recipe(
        description="AlexNet, the winner of ILSVRC-2012 (Krizhevsky, Sutskever, Hinton, 2012).",
        build=alexnet.build,
        parameters=alexnet.parameters,
        classes=alexnet.CLASSES,
        labels=(),
        input=_rgb_input(alexnet.SIDE),
        load=load_images,
        held_out=0.04,
        schedule=TrainingSchedule(
            plan=TrainingPlan(
                epochs=8,
                batch_size=32,
                optimizer=Adam(2e-4, warmup=0.1),
                augmentation=Augmentation(
                    warp=Affine(rotation=8, scale=0.1, shear=5, translation=14, border="nearest")
                ),
            ),
            build=alexnet.build_for_standardized,
            preprocessings=(standardized,),
        ),
        photo_schedule=TrainingSchedule(
            plan=TrainingPlan(
                epochs=90,
                batch_size=128,
                optimizer=Momentum(0.01, drops=(0.33, 0.66, 0.9)),
                augmentation=Augmentation(crop=(alexnet.SIDE, alexnet.SIDE), mirror=True, colour=0.1),
            ),
            size=Size(256, 256, 3, "crop"),
        ),
        preprocessings=(centred,),
        golden=lambda seed: synthetic_images.golden_signs(seed, alexnet.SIDE),
        example=lambda: synthetic_images.no_entry(alexnet.SIDE),
        # Larger batches are no faster on a CPU, and each image of a batch keeps ten megabytes allocated.
        max_batch_size=16,
        tolerance=1e-4,
    ),
}
