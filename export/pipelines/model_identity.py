"""The name and the description under which a network is published, and checks before the training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..datasets.dataset import Dataset
from ..errors import ManifestError, UsageError
from ..graph.convert import OPSET, OUTPUT
from ..repository.labels_before import check_labels
from ..repository.manifest import Manifest, OutputSpec
from .export_options import ExportOptions
from .recipes import Recipe


@dataclass(frozen=True)
class ModelIdentity:
    """The name of a model and its description in one sentence."""

    name: str
    description: str


def model_identity(network: str, recipe: Recipe, dataset: Dataset, options: ExportOptions) -> ModelIdentity:
    """Return the model's name and description.

    Those of the network hold for its own data set only. A model of other classes under the same name would
    answer the clients of the network's model.

    Raises:
        UsageError: the data set is another one, and the name or the description is missing.
    """
    # The name may go on with the size that the images were scaled to.
    own = dataset.published and recipe.dataset is not None and dataset.name.startswith(recipe.dataset)
    missing = [
        flag
        for flag, value in (("--name", options.name), ("--description", options.description))
        if value is None and not own
    ]
    if missing:
        reason = f"{dataset.name} is not {recipe.dataset}, the data set of {network}"
        if recipe.dataset is None:
            reason = f"the model of {network} on {dataset.name} is a new one"
        raise UsageError(f"{reason}; give the model {' and '.join(missing)}")
    return ModelIdentity(options.name or network, options.description or recipe.description)


def check_publishable(
    identity: ModelIdentity, recipe: Recipe, labels: Sequence[str], options: ExportOptions
) -> None:
    """Check before a training that its model can be published.

    Raises:
        ManifestError: the name, the description or the labels are invalid.
        PublishError: the version before has other labels.
    """
    Manifest(
        name=identity.name,
        description=identity.description,
        input=recipe.input,
        output=OutputSpec(OUTPUT, "probabilities"),
        labels=tuple(labels),
        max_batch_size=recipe.max_batch_size,
        opset=OPSET,
        parameters=0,
        tolerance=recipe.tolerance,
    )
    try:
        identity.description.encode()
    except UnicodeEncodeError as error:
        raise ManifestError(f"the description is not UTF-8: {identity.description!r}") from error
    check_labels(options.models, identity.name, labels, replace=options.replace_labels)
