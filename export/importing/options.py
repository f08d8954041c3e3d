"""The command-line options of `import`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Layout = Literal["NHWC", "NCHW"]
ChannelOrder = Literal["rgb", "bgr"]
ScoreKind = Literal["probabilities", "logits", "sigmoid"]
ResizeRule = Literal["fit", "stretch", "crop", "ink"]


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """The command-line options of `import`; None means inferred from the graph.

    Attributes:
        source: the file of the network.
        models: the model repository.
        labels: a text file with one label per line, in the order of the classes; None for the class names in
            the graph.
        name: the model's name; None for that of the file.
        description: one sentence for the manifest.
        layout: the order of the input axes.
        dtype: the expected dtype of the input.
        size: height and width of the input; required if the graph does not tell them.
        resize: how the server resizes images.
        channel_order: the order of the colours that the graph expects.
        scale, mean, std: the preprocessing of float32 inputs, `(pixel * scale - mean) / std`, in the order
            red, green, blue.
        raw_pixels: True if a float32 graph takes pixels from 0 to 255.
        output: the name of the output, if there are several.
        output_kind: what the graph returns.
        max_batch_size: the largest batch.
        data: a folder of labelled images to compare and evaluate on.
        history: a file with the learning curves of a Keras network.
        replace_labels: True if the labels may differ from those of the version before.
    """

    source: Path
    models: Path
    labels: Path | None = None
    name: str | None = None
    description: str | None = None
    layout: Layout | None = None
    dtype: Literal["uint8", "float32"] | None = None
    size: tuple[int, int] | None = None
    resize: ResizeRule = "crop"
    channel_order: ChannelOrder = "rgb"
    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    raw_pixels: bool = False
    output: str | None = None
    output_kind: ScoreKind | None = None
    max_batch_size: int | None = None
    data: Path | None = None
    history: Path | None = None
    replace_labels: bool = False

    @property
    def normalises(self) -> bool:
        """True if an option tells how the pixels are normalised."""
        return self.raw_pixels or (self.scale, self.mean, self.std) != (None, None, None)
