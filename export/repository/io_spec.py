"""Input and output of a graph in the manifest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import ManifestError

OutputKind = Literal["probabilities", "logits", "sigmoid", "maps"]


@dataclass(frozen=True)
class InputSpec:
    """The input of a graph and the preprocessing of the server.

    Attributes:
        name: the name in the graph.
        dtype: the type; a uint8 graph rescales pixels itself.
        layout: the order of the axes, batch first.
        height, width: the size; both None if the graph accepts any size, and images keep theirs.
        channels: 1 (greyscale) or 3 (RGB).
        resize: how images of another size are resized; "ink" is for images of one glyph.
        polarity: the polarity of the training images; the server inverts images of the other polarity.
        scale, mean, std: the preprocessing of float32 inputs, `(pixel * scale - mean) / std`.

    Raises:
        ManifestError: the values contradict each other.
    """

    name: str
    dtype: Literal["uint8", "float32"]
    layout: Literal["NHWC", "NCHW"]
    height: int | None
    width: int | None
    channels: int
    resize: Literal["fit", "stretch", "crop", "ink"]
    polarity: Literal["light-on-dark", "dark-on-light"] | None = None
    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if (self.height is None) != (self.width is None):
            raise ManifestError("height and width must both be set or both be None")
        if self.resize == "ink" and (self.height is None or self.polarity is None):
            raise ManifestError("the resize rule ink needs a height, a width and a polarity")
        if any(side is not None and side < 1 for side in (self.height, self.width)) or (
            self.channels not in (1, 3)
        ):
            raise ManifestError(
                f"the input size {self.height}x{self.width}x{self.channels} is invalid: "
                "height and width must be at least 1, channels 1 or 3"
            )
        if self.dtype == "uint8" and any(value is not None for value in (self.scale, self.mean, self.std)):
            raise ManifestError(
                "scale, mean and std require a float32 input: a uint8 graph rescales pixels itself"
            )
        for field, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != self.channels:
                raise ManifestError(f"{field} has {len(values)} values for {self.channels} channels")

    @property
    def free(self) -> bool:
        """True if the graph accepts images of any height and width."""
        return self.height is None

    def shape(self) -> tuple[int | None, ...]:
        """Return the axes after the batch, in the order of the layout; None for a dynamic axis."""
        return self.axes(self.channels)

    def axes(self, depth: int) -> tuple[int | None, ...]:
        """Return the axes after the batch of a tensor of this size with `depth` channels or maps."""
        if self.layout == "NHWC":
            return (self.height, self.width, depth)
        return (depth, self.height, self.width)


@dataclass(frozen=True)
class OutputSpec:
    """The output of a graph, float32.

    Attributes:
        name: the name in the graph.
        kind: "probabilities", "logits" or "sigmoid" (independent probabilities), [batch, classes], or "maps":
            one map per label, in the layout, height and width of the input.
    """

    name: str
    kind: OutputKind
