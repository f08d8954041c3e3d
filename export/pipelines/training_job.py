"""Resolves command-line options and a recipe into a training job."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TextIO

from ..datasets.dataset import Dataset, cache_in_memory
from ..datasets.image_files import Size
from ..errors import DatasetError
from ..evaluation import verify
from ..report import dataset_table
from ..repository.manifest import InputSpec
from ..training.backend import distribution_strategy, start_tensorflow
from ..training.ensemble import EnsembleOptions
from ..training.starting_point import load_starting_point
from .export_options import ExportOptions
from .recipes import Recipe, TrainingSchedule

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class TrainingJob:
    """Everything that a training needs.

    Attributes:
        ensemble: the options that all ensemble members share.
        members: the number of members.
        dataset: the data set; its test images have the size of the input.
        input: the input of the network.
    """

    ensemble: EnsembleOptions
    members: int
    dataset: Dataset
    input: InputSpec


def load_dataset(recipe: Recipe, options: ExportOptions) -> Dataset:
    """Load the data set.

    Raises:
        DatasetError: it is missing, invalid, or has another number of classes than required.
    """
    dataset = recipe.load(options.data, Size.of(recipe.input))
    _check_classes(dataset, options.classes)
    return dataset


def create_training_job(
    name: str, recipe: Recipe, dataset: Dataset, options: ExportOptions, report: TextIO
) -> TrainingJob:
    """Divide the data set, print its classes, and resolve the options of the training.

    Raises:
        DatasetError: there are too few training images to hold some out.
        BackendError: Keras cannot start.
    """
    schedule = recipe.schedule
    spec = recipe.input
    if dataset.photographs and recipe.photo_schedule:
        schedule = recipe.photo_schedule
        spec = replace(recipe.input, resize="crop")
    training = dataset.train if options.limit is None else dataset.train.limit(options.limit)
    if dataset.validation is None:
        training, validation = training.hold_out(recipe.held_out, options.seed)
    else:
        validation = dataset.validation
    for line in dataset_table.render(dataset, training, validation):
        print(line, file=report, flush=True)
    plan = schedule.plan
    start_tensorflow()
    start = None
    members = options.members or recipe.members
    preprocessings = schedule.preprocessings or recipe.preprocessings

    def build() -> keras.Model:
        return _build(recipe, schedule, len(dataset.labels))

    if options.start_from is not None:
        plan = recipe.refinement or plan
        start = load_starting_point(
            options.name or name,
            build,
            preprocessings,
            members,
            dataset.labels,
            options.models,
            options.start_from,
        )
    ensemble = EnsembleOptions(
        name=name,
        build=build,
        preprocessings=preprocessings,
        dataset=dataset,
        training=cache_in_memory(training.sized(schedule.size or Size.of(spec))),
        validation=cache_in_memory(validation.sized(Size.of(spec))),
        plan=replace(
            plan,
            epochs=options.epochs or plan.epochs,
            batch_size=options.batch_size or plan.batch_size,
            mixed_precision=options.mixed_precision,
        ),
        seed=options.seed,
        checkpoints=options.checkpoints,
        resume=options.resume,
        strategy=distribution_strategy(report) if options.distribute else None,
        start=start,
    )
    sized = replace(dataset, test=dataset.test.sized(Size.of(spec)))
    return TrainingJob(ensemble, members, sized, spec)


def _check_classes(dataset: Dataset, expected: int | None) -> None:
    if expected is not None and expected != len(dataset.labels):
        raise DatasetError(
            f"{dataset.name} has {len(dataset.labels):,} classes, but --classes requires {expected:,}"
        )


def _build(recipe: Recipe, schedule: TrainingSchedule, classes: int) -> keras.Model:
    network = (schedule.build or recipe.build)(classes)
    verify.check_parameters(network, recipe.parameters(classes))
    return network
