"""Publishes a version again with another resize rule, and measures digits as people bring them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, TextIO

from ...datasets.labelled_images import LabelledImages, load_test_images
from ...errors import ManifestError, VerificationError
from ...evaluation import digit_table
from ...evaluation.report import EvaluationReport, evaluate_graph
from ...report import evaluation_text, report_files
from ...repository.publish import check_writable
from ...repository.repository_reader import PublishedVersion, read_version
from ..evaluate import republish, write_file

# The version is not published if its accuracy on the test set drops by more.
MAX_DROP: Final = 0.005

Resize = Literal["fit", "stretch", "crop", "ink"]


@dataclass(frozen=True, kw_only=True)
class ReviseOptions:
    """The command-line options of `revise`.

    Attributes:
        models: the model repository.
        model: the name of the model, and its version; None for the highest one that is not quantized.
        data: the folder of the test images.
        resize: the new resize rule.
    """

    models: Path
    model: tuple[str, str | None]
    data: Path | None
    resize: Resize


@dataclass(frozen=True, kw_only=True)
class DigitOptions:
    """The command-line options of `digits`.

    Attributes:
        models: the model repository.
        model: the name of the model, and its version; None for the highest one that is not quantized.
        data: the folder of the digits.
        limit: the maximum number of digits, evenly over the classes.
        json: a file for the table as JSON.
    """

    models: Path
    model: tuple[str, str | None]
    data: Path | None
    limit: int
    json: Path | None = None


def revise(options: ReviseOptions, report: TextIO) -> Path:
    """Publish the same graph with another resize rule as the next version, evaluated anew.

    Returns:
        The folder of the new version.

    Raises:
        ExportError: a step failed; nothing is published.
    """
    published = read_version(options.models, *options.model)
    before = published.manifest
    title = f"{before.name}/{published.version}"
    if before.output.kind == "maps":
        raise ManifestError(f"{before.name} returns maps; only classifiers can be revised")
    if before.input.resize == options.resize:
        raise ManifestError(f"{title} has the resize rule {options.resize} already")
    manifest = replace(before, input=replace(before.input, resize=options.resize))
    check_writable(options.models)
    images = load_test_images(options.data, manifest.labels, manifest.input)
    results = evaluate_graph(published.graph, manifest, f"{before.name} with {options.resize}", images)
    print(evaluation_text.render(results), file=report, flush=True)
    _check_accuracy(published, results)
    files = dict(report_files.evaluation_plots(results, before.name))
    if options.resize == "ink" and digit_table.is_measurable(manifest):
        table = _measure(published, images.limit(digit_table.DEFAULT_IMAGES), report)
        files[digit_table.FILE] = table.dump()
    return republish(options.models, published, replace(manifest, evaluation=results.evaluation()), files)


def measure_digits(options: DigitOptions, report: TextIO) -> str:
    """Measure a model of digits on pictures as people bring them.

    Returns:
        The table as text.

    Raises:
        ExportError: a step failed.
    """
    published = read_version(options.models, *options.model)
    images = load_test_images(options.data, published.manifest.labels, published.manifest.input)
    table = _measure(published, images.limit(options.limit), report)
    if options.json is not None:
        write_file(options.json, table.dump())
    return evaluation_text.render_digits(table, f"{published.manifest.name}/{published.version}")


def _measure(published: PublishedVersion, images: LabelledImages, report: TextIO) -> digit_table.DigitTable:
    def progress(condition: str) -> None:
        print(f"measured: {condition}", file=report, flush=True)

    return digit_table.measure(published.graph, published.manifest, images, progress=progress)


def _check_accuracy(published: PublishedVersion, results: EvaluationReport) -> None:
    before = published.manifest.evaluation
    if before is None:
        return
    accuracy = results.evaluation().accuracy
    if accuracy < before.accuracy - MAX_DROP:
        raise VerificationError(
            f"the accuracy drops from {before.accuracy:.2%} to {accuracy:.2%}; nothing is published"
        )
