"""What a graph takes and what it gives, as the manifest says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import ManifestError


@dataclass(frozen=True)
class InputSpec:
    """What the graph takes, and what must be done to a picture before it.

    Height and width are both None where the graph takes any; then a picture keeps its size, whatever
    `resize` says.
    """

    name: str
    dtype: Literal["uint8", "float32"]
    layout: Literal["NHWC", "NCHW"]
    height: int | None
    width: int | None
    channels: int
    resize: Literal["fit", "stretch", "crop"]
    polarity: Literal["light-on-dark", "dark-on-light"] | None = None
    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if (self.height is None) != (self.width is None):
            raise ManifestError("height and width are free together or not at all")
        if any(side is not None and side < 1 for side in (self.height, self.width)) or (
            self.channels not in (1, 3)
        ):
            raise ManifestError(
                f"an input of {self.height}x{self.width}x{self.channels} is no picture: "
                "height and width are at least 1, channels 1 or 3"
            )
        if self.dtype == "uint8" and any(value is not None for value in (self.scale, self.mean, self.std)):
            raise ManifestError(
                "scale, mean and std are for float32 inputs: a uint8 graph rescales by itself"
            )
        for field, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != self.channels:
                raise ManifestError(f"{field} has {len(values)} values for {self.channels} channels")

    @property
    def free(self) -> bool:
        """Whether the graph takes pictures of any height and width."""
        return self.height is None

    def shape(self) -> tuple[int | None, ...]:
        """The axes after the batch, in the order of the layout; None where one is free."""
        return self.axes(self.channels)

    def axes(self, depth: int) -> tuple[int | None, ...]:
        """The axes after the batch of a tensor of this height and width and so many channels or maps."""
        if self.layout == "NHWC":
            return (self.height, self.width, depth)
        return (depth, self.height, self.width)


@dataclass(frozen=True)
class OutputSpec:
    """What the graph gives: float32 of [batch, classes], or, of a graph that is no classifier, maps.

    Maps are as high and wide as the input and stand in its layout, one a label where the channels are.
    """

    name: str
    kind: Literal["probabilities", "logits", "maps"]
