"""Renders the model card of a version, a Markdown page, from its manifest.

M. Mitchell et al., Model cards for model reporting, FAT* 2019, section 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ..evaluation.digit_table import DigitTable
from ..evaluation.robustness import Robustness
from ..graph.structure import GraphStructure
from ..repository.manifest import CARD_FILE, Manifest
from . import layer_table

FILE: Final = CARD_FILE

_MAX_LABELS: Final = 60

_RESIZING: Final = {
    "fit": "are scaled with their aspect ratio and padded with their background",
    "stretch": "are stretched to that size",
    "crop": "are scaled to fill that size and cropped at the centre",
    "ink": "are searched for one glyph, which is drawn in the middle; scaled and padded if there is none",
}

_WEIGHTS: Final = {
    "trained": "trained from scratch",
    "random": "random: this version is untrained, for benchmarks",
    "fixed": "fixed, not trained",
    "imported": "imported with the graph",
}


def render(
    manifest: Manifest,
    graph: bytes,
    pictures: Sequence[str],
    robustness: Robustness | None = None,
    notes: Sequence[str] = (),
    digits: DigitTable | None = None,
) -> str:
    """Return the model card.

    Args:
        manifest: the manifest of the version.
        graph: the ONNX file.
        pictures: the names of the image files to show, besides the example.
        robustness: the accuracy on changed test images.
        notes: sentences about the use of the model and the meaning of its figures.
        digits: the accuracy on pictures of digits as people bring them.
    """
    structure = GraphStructure(graph)
    members = len(structure.members())
    lines = [f"# {manifest.name}", "", manifest.description, ""]
    lines += [
        *_table("Model", _model(manifest, members)),
        *_table("Evaluation", _evaluation(manifest, members)),
    ]
    if notes:
        lines += ["## Notes", "", *(f"- {note}" for note in notes), ""]
    lines += [*_digits(digits), *_robustness(robustness), *_table("Training", _training(manifest))]
    lines += [*layer_table.render(structure), *_labels(manifest.labels)]
    example = [] if manifest.example is None else [manifest.example.file]
    for picture in [*example, *pictures]:
        lines += [f"![{picture.partition('.')[0]}]({picture})", ""]
    lines += ["Generated from `manifest.json`, which contains all values in full precision.", ""]
    return "\n".join(lines)


def _table(title: str, rows: Iterator[tuple[str, str]]) -> Iterator[str]:
    lines = list(rows)
    if lines:
        yield from (f"## {title}", "", "| | |", "| --- | --- |")
        yield from (f"| {name} | {value} |" for name, value in lines)
        yield ""


def _model(manifest: Manifest, members: int) -> Iterator[tuple[str, str]]:
    spec = manifest.input
    size = "any size" if spec.free else f"{spec.width}x{spec.height} pixels"
    yield "input", f"images of {size}, {'RGB' if spec.channels == 3 else 'grey'}, as {spec.dtype}"
    if not spec.free:
        yield "other images", _RESIZING[spec.resize]
    if spec.polarity:
        yield "polarity", f"{spec.polarity}; others are inverted"
    yield "output", f"{len(manifest.labels):,} {manifest.output.kind}"
    if members > 1:
        yield "members", f"{members}, whose probabilities are averaged"
    yield "parameters", f"{manifest.parameters:,}"
    yield "weights", _WEIGHTS[manifest.weights]
    yield "graph", f"ONNX, opset {manifest.opset}"
    if manifest.rewrites:
        yield "rewrites", ", ".join(manifest.rewrites)
    if quantization := manifest.quantization:
        before = quantization.parent_accuracy
        accuracy = "" if before is None else f", with an accuracy of {before:.2%}"
        yield "quantized", f"{quantization.method}; from version {quantization.parent}{accuracy}"


def _evaluation(manifest: Manifest, members: int) -> Iterator[tuple[str, str]]:
    evaluation, parity, calibration = manifest.evaluation, manifest.parity, manifest.calibration
    if evaluation:
        tested = f"{evaluation.examples:,} test images of {evaluation.dataset}"
        yield "accuracy", f"{evaluation.accuracy:.2%} on the {tested}"
        yield "top-5", f"{evaluation.top5:.2%}"
        yield "calibration error", f"{evaluation.calibration_error:.2%}"
    if calibration:
        yield (
            "temperature",
            f"{calibration.temperature:.3f}{', of the averaged probabilities' if members > 1 else ''}, "
            f"fitted on {calibration.examples:,} held-out images; "
            f"without it the calibration error is {calibration.error_before:.2%}",
        )
    if parity:
        yield (
            "against Keras",
            f"probabilities differ by at most {parity.max_abs_difference:.1e} on {parity.examples:,} images, "
            f"{'all predicted classes are equal' if parity.argmax_equal else 'predicted classes differ'}",
        )


def _digits(digits: DigitTable | None) -> Iterator[str]:
    if digits is None:
        return
    yield from ("## Digits on paper", "")
    yield (
        f"{digits.examples:,} test images of {digits.dataset}, drawn as the table says; "
        "the accuracy by resize rule:"
    )
    yield from ("", *digits.markdown(), "")


def _robustness(robustness: Robustness | None) -> Iterator[str]:
    if robustness is None:
        return
    yield from ("## Robustness", "")
    yield f"On {robustness.examples:,} test images of {robustness.dataset}, changed as the table says:"
    yield from ("", "| images | accuracy | mean confidence |", "| --- | ---: | ---: |")
    for result in robustness.results:
        yield f"| {result.condition} | {result.accuracy:.1%} | {result.confidence:.1%} |"
    yield ""


def _training(manifest: Manifest) -> Iterator[tuple[str, str]]:
    training = manifest.training
    if training is None:
        return
    yield "data", f"{training.dataset}, {training.examples:,} images (SHA-256 `{training.dataset_sha256}`)"
    yield "epochs", str(training.epochs)
    yield "seed", str(training.seed)
    yield "time", f"{training.seconds / 60:,.1f} minutes"
    if training.trainer:
        yield "trained by", training.trainer
    yield "libraries", ", ".join(f"{name} {version}" for name, version in training.libraries.items())


def _labels(labels: Sequence[str]) -> Iterator[str]:
    listed = ", ".join(labels[:_MAX_LABELS])
    more = len(labels) - _MAX_LABELS
    yield from ("## Labels", "", f"{listed}, and {more:,} more." if more > 0 else f"{listed}.", "")
