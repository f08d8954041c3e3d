"""Renders the model card of a version, a Markdown page, from its manifest.

M. Mitchell et al., Model cards for model reporting, FAT* 2019, section 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ..repository.manifest import Manifest

FILE: Final = "README.md"

_MAX_LABELS: Final = 60

_RESIZING: Final = {
    "fit": "are scaled with their aspect ratio and padded with their background",
    "stretch": "are stretched to that size",
    "crop": "are scaled to fill that size and cropped at the centre",
}

_WEIGHTS: Final = {
    "trained": "trained from scratch",
    "random": "random: this version is untrained, for benchmarks",
    "fixed": "fixed, not trained",
    "imported": "imported with the graph",
}


def render(manifest: Manifest, plots: Sequence[str], members: int = 1) -> str:
    """Return the model card.

    Args:
        manifest: the manifest of the version.
        plots: the names of the image files to embed.
        members: the number of ensemble members.
    """
    return "\n".join(
        [f"# {manifest.name}", "", manifest.description, "", *_sections(manifest, plots, members)]
    )


def _sections(manifest: Manifest, plots: Sequence[str], members: int) -> Iterator[str]:
    yield from _table("Model", _model(manifest, members))
    yield from _table("Evaluation", _evaluation(manifest))
    yield from _table("Training", _training(manifest))
    yield from _labels(manifest.labels)
    for plot in plots:
        yield from (f"![{plot.partition('.')[0]}]({plot})", "")
    yield "Generated from `manifest.json`, which contains all values in full precision."
    yield ""


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


def _evaluation(manifest: Manifest) -> Iterator[tuple[str, str]]:
    evaluation, parity, calibration = manifest.evaluation, manifest.parity, manifest.calibration
    if evaluation:
        tested = f"{evaluation.examples:,} test images of {evaluation.dataset}"
        yield "accuracy", f"{evaluation.accuracy:.2%} on the {tested}"
        yield "top-5", f"{evaluation.top5:.2%}"
        yield "calibration error", f"{evaluation.calibration_error:.2%}"
    if calibration:
        yield (
            "temperature",
            f"{calibration.temperature:.3f}, fitted on {calibration.examples:,} held-out images; "
            f"without it the calibration error is {calibration.error_before:.2%}",
        )
    if parity:
        yield (
            "against Keras",
            f"probabilities differ by at most {parity.max_abs_difference:.1e} on {parity.examples:,} images, "
            f"{'all predicted classes are equal' if parity.argmax_equal else 'predicted classes differ'}",
        )


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
