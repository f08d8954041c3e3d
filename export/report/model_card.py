"""The model card: one page on a version for people, from its manifest alone.

After M. Mitchell et al., Model cards for model reporting, FAT* 2019, section 4, as far as the export knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ..repository.manifest import Manifest

FILE: Final = "README.md"

_MOST_LABELS: Final = 60

_RESIZING: Final = {
    "fit": "keep their shape and are padded with their background",
    "stretch": "are stretched to that size whatever their shape",
    "crop": "fill that size, and what stands over is cut off",
}

_WEIGHTS: Final = {
    "trained": "trained from scratch",
    "random": "random: this version has learned nothing and is for benchmarks",
    "fixed": "fixed, not learned",
    "imported": "as they came with the imported graph",
}


def written(manifest: Manifest, plots: Sequence[str], columns: int = 1) -> str:
    """The card as Markdown, with these plots, files beside it."""
    return "\n".join(
        [f"# {manifest.name}", "", manifest.description, "", *_sections(manifest, plots, columns)]
    )


def _sections(manifest: Manifest, plots: Sequence[str], columns: int) -> Iterator[str]:
    yield from _table("The model", _model(manifest, columns))
    yield from _table("How good it is", _quality(manifest))
    yield from _table("How it was trained", _training(manifest))
    yield from _labels(manifest.labels)
    for plot in plots:
        yield from (f"![{plot.partition('.')[0]}]({plot})", "")
    yield "Written by the export from `manifest.json`, which has every figure in full."
    yield ""


def _table(title: str, rows: Iterator[tuple[str, str]]) -> Iterator[str]:
    found = list(rows)
    if found:
        yield from (f"## {title}", "", "| | |", "| --- | --- |")
        yield from (f"| {name} | {value} |" for name, value in found)
        yield ""


def _model(manifest: Manifest, columns: int) -> Iterator[tuple[str, str]]:
    spec = manifest.input
    size = "any size" if spec.free else f"{spec.width}x{spec.height} pixels"
    yield "takes", f"pictures of {size}, {'RGB' if spec.channels == 3 else 'grey'}, as {spec.dtype}"
    if not spec.free:
        yield "other pictures", _RESIZING[spec.resize]
    if spec.polarity:
        yield "polarity", f"{spec.polarity}; others are inverted"
    yield "gives", f"{len(manifest.labels):,} {manifest.output.kind}"
    if columns > 1:
        yield "columns", f"{columns}, whose probabilities are averaged"
    yield "parameters", f"{manifest.parameters:,}"
    yield "weights", _WEIGHTS[manifest.weights]
    yield "graph", f"ONNX, opset {manifest.opset}"
    if manifest.rewrites:
        yield "rewrites", ", ".join(manifest.rewrites)
    if quantization := manifest.quantization:
        before = quantization.parent_accuracy
        told = "" if before is None else f", which has {before:.2%} right"
        yield "quantized", f"{quantization.method}; from version {quantization.parent}{told}"


def _quality(manifest: Manifest) -> Iterator[tuple[str, str]]:
    evaluation, parity, calibration = manifest.evaluation, manifest.parity, manifest.calibration
    if evaluation:
        tested = f"{evaluation.examples:,} test pictures of {evaluation.dataset}"
        yield "accuracy", f"{evaluation.accuracy:.2%} on the {tested}"
        yield "top-5", f"{evaluation.top5:.2%}"
        yield "calibration error", f"{evaluation.calibration_error:.2%}"
    if calibration:
        yield (
            "temperature",
            f"{calibration.temperature:.3f}, fitted on {calibration.examples:,} pictures held out; "
            f"without it the calibration error is {calibration.error_before:.2%}",
        )
    if parity:
        yield (
            "against Keras",
            f"at most {parity.max_abs_difference:.1e} apart on {parity.examples:,} pictures, "
            f"{'every decision the same' if parity.argmax_equal else 'decisions differ'}",
        )


def _training(manifest: Manifest) -> Iterator[tuple[str, str]]:
    training = manifest.training
    if training is None:
        return
    yield "data", f"{training.dataset}, {training.examples:,} pictures (SHA-256 `{training.dataset_sha256}`)"
    yield "epochs", str(training.epochs)
    yield "seed", str(training.seed)
    yield "time", f"{training.seconds / 60:,.1f} minutes"
    if training.trainer:
        yield "trained by", training.trainer
    yield "libraries", ", ".join(f"{name} {version}" for name, version in training.libraries.items())


def _labels(labels: Sequence[str]) -> Iterator[str]:
    named = ", ".join(labels[:_MOST_LABELS])
    more = len(labels) - _MOST_LABELS
    yield from ("## Labels", "", f"{named}, and {more:,} more." if more > 0 else f"{named}.", "")
