"""What a network is to learn, and from what: an order and a recipe, made out on a data set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TextIO

from ..datasets.dataset import Dataset, settled
from ..datasets.image_files import Size
from ..errors import DatasetError
from ..evaluation import verify
from ..repository.manifest import InputSpec
from ..training.backend import start_tensorflow, strategy
from ..training.ensemble import Training
from .export_options import Order
from .recipes import Course, Recipe

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Study:
    """What is to be learned, from what, and what the inputs of the network will be."""

    lesson: Training
    columns: int
    dataset: Dataset
    input: InputSpec


def planned(name: str, recipe: Recipe, order: Order, report: TextIO) -> Study:
    """Read the data set of a network and settle how it will be trained.

    Raises:
        DatasetError: there is no such data, or it is not what was asked for.
    """
    found = recipe.load(order.data, Size.of(recipe.input))
    _check_classes(found, order.classes)
    course = recipe.photographs if found.photographs and recipe.photographs else recipe.course
    spec = replace(recipe.input, resize="crop") if course is recipe.photographs else recipe.input
    examples = found.train if order.limit is None else found.train.limit(order.limit)
    training, validation = examples.hold_out(recipe.held_out, order.seed)
    print(
        f"{found.name}: {len(training):,} pictures to train on, {len(validation):,} to validate, "
        f"{len(found.test):,} to test",
        file=report,
        flush=True,
    )
    start_tensorflow()
    plan = replace(
        course.plan,
        epochs=order.epochs or course.plan.epochs,
        batch_size=order.batch_size or course.plan.batch_size,
        mixed_precision=order.mixed_precision,
    )
    lesson = Training(
        name=name,
        build=lambda: _build(recipe, course, len(found.labels)),
        preparations=course.preparations or recipe.preparations,
        dataset=found,
        training=settled(training.sized(course.size or Size.of(spec))),
        validation=settled(validation.sized(Size.of(spec))),
        plan=plan,
        seed=order.seed,
        checkpoints=order.checkpoints,
        resume=order.resume,
        strategy=strategy(report) if order.distribute else None,
    )
    found = replace(found, test=found.test.sized(Size.of(spec)))
    return Study(lesson, order.columns or recipe.columns, found, spec)


def _check_classes(dataset: Dataset, expected: int | None) -> None:
    if expected is not None and expected != len(dataset.labels):
        raise DatasetError(
            f"{dataset.name} has {len(dataset.labels):,} classes, not the {expected:,} of --classes"
        )


def _build(recipe: Recipe, course: Course, classes: int) -> keras.Model:
    network = (course.build or recipe.build)(classes)
    verify.check_parameters(network, recipe.parameters(classes))
    return network
