"""Calibrates a published version: fits a temperature on held-out training images and publishes the result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from ...datasets.dataset import Dataset, Examples
from ...datasets.image_files import Size
from ...datasets.labelled_images import load_known, load_test_images
from ...errors import DatasetError, ManifestError, VerificationError
from ...evaluation import metrics, robustness, temperature_scaling, verify
from ...evaluation.report import evaluate_graph
from ...graph.ort_session import OrtSession
from ...graph.output_temperature import divide_logits
from ...report import report_files
from ...repository.manifest import Calibration, Manifest, TrainingRecord
from ...repository.publish import check_writable
from ...repository.repository_reader import PublishedVersion, read_version
from ..evaluate import republish
from ..recipes import RECIPES


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions:
    """The command-line options of `calibrate`.

    Attributes:
        models: the model repository.
        model: the name of the model, and its version; None for the highest one that is not quantized.
        data: the folder of the data set that the model was trained on.
        robustness: measures the new version on changed images too.
    """

    models: Path
    model: tuple[str, str | None]
    data: Path | None
    robustness: bool = False


@dataclass(frozen=True)
class FittedTemperature:
    """A temperature and the number of held-out images that it was fitted on."""

    temperature: float
    examples: int


def calibrate(options: CalibrateOptions, report: TextIO) -> Path:
    """Fit a temperature on the images that the training held out, and publish it as the next version.

    The weights stay, apart from the division of the logits. The test images do not influence the temperature.

    Returns:
        The folder of the new version.

    Raises:
        ExportError: a step failed, or there are too few held-out images; nothing is published.
    """
    parent = read_version(options.models, *options.model)
    _check_calibratable(parent)
    check_writable(options.models)
    fitted = fit_temperature(parent, options.data)
    changed = _calibrated(parent, fitted.temperature)
    images = load_test_images(options.data, parent.manifest.labels, parent.manifest.input)
    title = f"{parent.manifest.name}/{parent.version}"
    before, after = (
        evaluate_graph(each, parent.manifest, title, images) for each in (parent.graph, changed.graph)
    )
    evaluation = after.evaluation()
    calibration = Calibration(
        examples=fitted.examples,
        temperature=fitted.temperature,
        error_before=before.evaluation().calibration_error,
        error_after=evaluation.calibration_error,
    )
    print(
        f"temperature {fitted.temperature:.3f}, fitted on {fitted.examples:,} held-out images; on "
        f"{evaluation.examples:,} test images the calibration error is {calibration.error_after:.2%}, "
        f"{calibration.error_before:.2%} before",
        file=report,
        flush=True,
    )
    manifest = replace(
        parent.manifest,
        evaluation=evaluation,
        calibration=calibration,
        parity=None,
        variants=(),
        inspect=None,
        features=None,
    )
    files = dict(report_files.evaluation_plots(after, parent.manifest.name))
    if options.robustness:
        chosen = images.limit(robustness.DEFAULT_IMAGES)
        files[robustness.FILE] = robustness.measure(changed.graph, manifest, chosen).dump()
    return republish(
        options.models, changed, manifest, files, without=(robustness.FILE, *_of_old_graph(parent.manifest))
    )


def _of_old_graph(manifest: Manifest) -> set[str]:
    """Return the names of the files that were made from the graph before."""
    example = {manifest.example.file} if manifest.example is not None else set()
    return set(manifest.referenced_files()) - example


def _calibrated(parent: PublishedVersion, temperature: float) -> PublishedVersion:
    """Return the version with its graph and its golden outputs at this temperature.

    Raises:
        VerificationError: the new graph does not give the golden outputs.
    """
    softmax = parent.manifest.output.kind == "probabilities"
    graph = divide_logits(parent.graph, temperature, softmax=softmax)
    golden = parent.golden_outputs
    expected = temperature_scaling.soften(golden, temperature) if softmax else golden / temperature
    difference = float(np.abs(OrtSession(graph).run_batches(parent.golden_inputs) - expected).max())
    if not difference <= parent.manifest.tolerance:
        raise VerificationError(
            "the calibrated graph differs from the golden outputs of "
            f"{parent.manifest.name}/{parent.version} by up to {difference:.1e}"
        )
    return replace(parent, graph=graph, golden_outputs=expected.astype(np.float32))


def fit_temperature(parent: PublishedVersion, data: Path | None) -> FittedTemperature:
    """Fit a temperature on training images that the training held out.

    Raises:
        DatasetError: they cannot be loaded, or are too few.
    """
    held_out = _held_out(parent, data)
    needed = temperature_scaling.min_examples(len(parent.manifest.labels))
    if len(held_out) < needed:
        raise DatasetError(
            f"{len(held_out):,} held-out images are too few to fit a temperature, "
            f"at least {needed:,} are needed"
        )
    (outputs,), used = verify.predict([OrtSession(parent.graph).run], held_out)
    return FittedTemperature(temperature_scaling.fit(_probabilities(parent, outputs), used.labels), len(used))


def _held_out(parent: PublishedVersion, data: Path | None) -> Examples:
    """Return the images that the training held out; the same seed holds out the same images."""
    training = parent.manifest.training
    if training is None:
        raise ManifestError(
            f"{parent.manifest.name}/{parent.version} does not name the data set it was trained on, "
            "so it is not known which images it did not learn from"
        )
    size = Size.of(parent.manifest.input)
    if data is None:
        raise DatasetError(
            "pass --data DIR (or set CONVSERVE_DATA) with the data set that the model was trained on"
        )
    dataset = load_known(data, size)
    if dataset is None or dataset.sha256 != training.dataset_sha256:
        raise DatasetError(
            f"{data} is not the data set that {parent.manifest.name}/{parent.version} was trained on"
        )
    if dataset.validation is not None:
        return dataset.validation.sized(size)
    return _split(dataset, training, parent).sized(size)


def _split(dataset: Dataset, training: TrainingRecord, parent: PublishedVersion) -> Examples:
    """Hold out as many images as the training did; no recipe but those of the networks is known."""
    for fraction in sorted({recipe.held_out for recipe in RECIPES.values()}):
        left, held_out = dataset.train.hold_out(fraction, training.seed)
        if len(left) == training.examples:
            return held_out
    raise DatasetError(
        f"{parent.manifest.name}/{parent.version} was trained on {training.examples:,} of the "
        f"{len(dataset.train):,} training images; which ones were held out is not known"
    )


def _probabilities(parent: PublishedVersion, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    return metrics.softmax(outputs) if parent.manifest.output.kind == "logits" else outputs


def _check_calibratable(parent: PublishedVersion) -> None:
    manifest = parent.manifest
    if manifest.output.kind not in ("logits", "probabilities"):
        raise ManifestError(
            f"{manifest.name} returns {manifest.output.kind}; only one of several classes has a temperature"
        )
    if manifest.quantization is not None:
        raise ManifestError(
            f"version {parent.version} of {manifest.name} is quantized; calibrate version "
            f"{manifest.quantization.parent} and quantize the result"
        )
