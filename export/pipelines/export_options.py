"""Options of one export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """The command-line options of an export; None means the default of the recipe or the data set.

    Attributes:
        data: the folder of the data set; None downloads it where possible.
        models: the model repository.
        seed: determines the weights, the order of the images, their augmentation and the golden inputs.
        epochs: passes over the training images.
        batch_size: images per step.
        limit: the maximum number of training images per class.
        classes: the required number of classes.
        members: networks to train and combine into an ensemble.
        checkpoints: the folder of the checkpoints.
        resume: continues from existing checkpoints.
        start_from: the published version whose weights the training starts from, as "2" or "signnet/2";
            None for random weights.
        mixed_precision: computes in 16 bits during training.
        distribute: distributes each batch over all visible GPUs.
        random_weights: publishes the untrained network.
        name, description: the model's; required for a data set that is not the network's own.
        replace_labels: publishes although the labels differ from those of the version before.
    """

    data: Path | None
    models: Path
    seed: int = 0
    epochs: int | None = None
    batch_size: int | None = None
    limit: int | None = None
    classes: int | None = None
    members: int | None = None
    checkpoints: Path | None = None
    resume: bool = False
    start_from: str | None = None
    mixed_precision: bool = False
    distribute: bool = False
    random_weights: bool = False
    name: str | None = None
    description: str | None = None
    replace_labels: bool = False
