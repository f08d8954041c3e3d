"""What can be exported: one row a network, with its data set and how it is trained on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from . import drawing, mnist
from .architectures import convnet
from .architectures.pixels import INPUT
from .augment import Affine
from .datasets import Dataset
from .manifest import InputSpec
from .train import Plan

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that tells one network's export from another's.

    `load` takes the folder of --data, or None; `held_out` is the part of the training pictures kept for
    validation; `golden` makes from the seed the inputs whose answers are published with the model, and
    `example` the picture to try, [height, width, channels].
    """

    description: str
    build: Callable[[], keras.Model]
    parameters: int
    input: InputSpec
    load: Callable[[Path | None], Dataset]
    held_out: float
    plan: Plan
    golden: Callable[[int], NDArray[np.uint8]]
    example: Callable[[], NDArray[np.uint8]]
    max_batch_size: int
    tolerance: float


RECIPES: Final[Mapping[str, Recipe]] = {
    "convnet": Recipe(
        description="Handwritten digits: the convnet of Listing 8.1, Deep Learning with Python, on MNIST.",
        build=convnet.build,
        parameters=convnet.PARAMETERS,
        input=InputSpec(
            name=INPUT,
            dtype="uint8",
            layout="NHWC",
            height=mnist.SIDE,
            width=mnist.SIDE,
            channels=1,
            resize="fit",
            polarity="light-on-dark",
        ),
        load=mnist.load,
        held_out=1 / 12,
        plan=Plan(
            epochs=40,
            batch_size=128,
            learning_rate=2e-3,
            warp=Affine(rotation=10, scale=0.1, shear=8, translation=2),
        ),
        golden=drawing.digits_and_none,
        example=lambda: drawing.digit(7),
        max_batch_size=64,
        tolerance=1e-4,
    ),
}
