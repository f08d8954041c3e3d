"""Evaluates published versions on labelled images, and publishes the results."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from ..datasets.labelled_images import LabelledImages, load_test_images
from ..errors import ManifestError, PublishError
from ..evaluation import digit_table, robustness
from ..evaluation.report import EvaluationReport, evaluate_graph
from ..report import evaluation_text, model_card, report_files
from ..repository.manifest import Manifest
from ..repository.publish import check_writable, publish
from ..repository.repository_reader import PublishedVersion, read_version
from .recipes import notes_of


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """The command-line options of `evaluate` and `robustness`.

    Attributes:
        models: the model repository.
        model: the name of the model, and its version; None for the highest one that is not quantized.
        data: the folder of the images.
        limit: the maximum number of images, evenly over the classes; None for all.
        compare: another version of the model, for the same images.
        json: a file for the report as JSON.
        plot: a file for the plots.
        publish: publishes the result as the next version.
    """

    models: Path
    model: tuple[str, str | None]
    data: Path | None
    limit: int | None
    compare: str | None = None
    json: Path | None = None
    plot: Path | None = None
    publish: bool = False


def evaluate(options: EvaluateOptions, report: TextIO) -> str | Path:
    """Evaluate a version on labelled images.

    Returns:
        The report as text or, if it is published, the folder of the new version.

    Raises:
        ExportError: a step failed; nothing is published.
    """
    published, images = _load(options)
    results = _evaluate(published, images)
    before = None
    if options.compare is not None:
        other = read_version(options.models, published.manifest.name, options.compare)
        _check_comparable(published, other)
        before = _evaluate(other, images)
    text = evaluation_text.render(results, before)
    if options.json is not None:
        write_file(options.json, evaluation_text.document(results, before).encode())
    plots = report_files.evaluation_plots(results, published.manifest.name)
    if options.plot is not None:
        write_file(options.plot, report_files.side_by_side(list(plots.values())))
    if not options.publish:
        return text
    print(text, file=report, flush=True)
    manifest = replace(published.manifest, evaluation=results.evaluation())
    return republish(options.models, published, manifest, plots)


def measure_robustness(options: EvaluateOptions, report: TextIO) -> str | Path:
    """Measure the accuracy of a version on changed test images.

    Returns:
        The table as text or, if it is published, the folder of the new version.

    Raises:
        ExportError: a step failed; nothing is published.
    """
    published, images = _load(options)

    def progress(count: int) -> None:
        print(f"{count:,} of {len(images):,} images", file=report, flush=True)

    results = robustness.measure(published.graph, published.manifest, images, progress=progress)
    text = evaluation_text.render_robustness(results, _title(published))
    if options.json is not None:
        write_file(options.json, results.dump())
    if not options.publish:
        return text
    print(text, file=report, flush=True)
    return republish(options.models, published, published.manifest, {robustness.FILE: results.dump()})


def republish(
    models: Path,
    parent: PublishedVersion,
    manifest: Manifest,
    files: Mapping[str, bytes],
    *,
    without: Collection[str] = (),
) -> Path:
    """Publish the graph of a version again as the next version, with another manifest and further files.

    The files of the version are kept but those in `without`; its model card is rendered again.

    Raises:
        ExportError: the version cannot be read, or the repository cannot be written.
    """
    dropped = {report_files.MISTAKES_FILE, *without}
    kept = {name: content for name, content in parent.files().items() if name not in dropped}
    contents = {**kept, **files}
    results, digits = contents.get(robustness.FILE), contents.get(digit_table.FILE)
    contents[model_card.FILE] = model_card.render(
        manifest,
        parent.graph,
        report_files.pictures(contents),
        None if results is None else robustness.Robustness.parse(results),
        notes_of(manifest),
        None if digits is None else digit_table.DigitTable.parse(digits),
    ).encode()
    return publish(models, manifest, parent.graph, parent.golden_inputs, parent.golden_outputs, contents)


def _load(options: EvaluateOptions) -> tuple[PublishedVersion, LabelledImages]:
    published = read_version(options.models, *options.model)
    if published.manifest.output.kind == "maps":
        raise ManifestError(f"{published.manifest.name} returns maps; only classifiers can be evaluated")
    if options.publish:
        check_writable(options.models)
    images = load_test_images(options.data, published.manifest.labels, published.manifest.input)
    return published, images if options.limit is None else images.limit(options.limit)


def _evaluate(published: PublishedVersion, images: LabelledImages) -> EvaluationReport:
    return evaluate_graph(published.graph, published.manifest, _title(published), images)


def _title(published: PublishedVersion) -> str:
    return f"{published.manifest.name}/{published.version}"


def _check_comparable(published: PublishedVersion, other: PublishedVersion) -> None:
    if published.manifest.labels != other.manifest.labels:
        raise ManifestError(
            f"{_title(published)} and {_title(other)} have different labels and cannot be compared"
        )


def write_file(path: Path, content: bytes) -> None:
    """
    Raises:
        PublishError: the file cannot be written.
    """
    try:
        path.write_bytes(content)
    except OSError as error:
        raise PublishError(f"{path} cannot be written: {error.strerror or error}") from error
