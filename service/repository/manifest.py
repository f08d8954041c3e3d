"""What a model version says of itself: `manifest.json`, as models/README.md describes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, StringConstraints, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Version = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,17}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]

# A picture of any size has at most so many pixels, and so have those of one request together: the maps of
# them are many times as large.
MAX_DYNAMIC_PIXELS = 1 << 22


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class InputSpec(Section):
    """The graph's input, and how a picture becomes it; height and width are None where any will do."""

    name: str
    dtype: Literal["uint8", "float32"]
    layout: Literal["NHWC", "NCHW"]
    height: PositiveInt | None
    width: PositiveInt | None
    channels: Literal[1, 3]
    resize: Literal["fit", "stretch", "crop"]
    polarity: Literal["light-on-dark", "dark-on-light"] | None
    scale: float | None
    mean: list[float] | None
    std: list[float] | None

    @property
    def free(self) -> bool:
        """Whether the graph takes pictures of any height and width."""
        return self.height is None

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one picture, without the batch axis, where it is not free."""
        if self.height is None or self.width is None:
            raise ValueError(f"input {self.name!r} has no shape of its own: its height and width are free")
        if self.layout == "NHWC":
            return (self.height, self.width, self.channels)
        return (self.channels, self.height, self.width)

    @property
    def axes(self) -> tuple[int | None, ...]:
        """The axes of one picture, without the batch; None where one is free."""
        return self._in_layout(self.channels)

    def sized_as(self, picture: Sequence[int]) -> InputSpec:
        """The same input with the height and width of a picture of this shape, where they are free."""
        if not self.free:
            return self
        height, width = picture[:2] if self.layout == "NHWC" else picture[1:]
        return self.model_copy(update={"height": height, "width": width})

    def maps(self, count: int) -> tuple[int | None, ...]:
        """The axes of `count` maps of a picture, without the batch; None where one is free."""
        return self._in_layout(count)

    def _in_layout(self, depth: int) -> tuple[int | None, ...]:
        if self.layout == "NHWC":
            return (self.height, self.width, depth)
        return (depth, self.height, self.width)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.height is None) != (self.width is None):
            raise ValueError("height and width are free together or not at all")
        if self.dtype == "uint8" and (self.scale, self.mean, self.std) != (None, None, None):
            raise ValueError("scale, mean and std are for float32 inputs; a uint8 graph rescales by itself")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != self.channels:
                raise ValueError(f"{name} has {len(values)} values for {self.channels} channels")
        if self.std is not None and not all(self.std):
            raise ValueError("std holds a zero")
        return self


class OutputSpec(Section):
    """The graph's output, float32: `[batch, classes]`, or maps of the input's height, width and layout."""

    name: str
    kind: Literal["probabilities", "logits", "maps"]


class Onnx(Section):
    file: FileName
    sha256: Digest
    opset: PositiveInt
    parameters: Annotated[int, Field(ge=0)]


class Golden(Section):
    file: FileName
    tolerance: Annotated[float, Field(gt=0)]


class Example(Section):
    """A picture to try, and the label it gets."""

    file: FileName
    label: str


class Training(Section):
    dataset: str
    dataset_sha256: Digest
    examples: PositiveInt
    epochs: Annotated[int, Field(ge=0)]
    seed: int
    seconds: Annotated[float, Field(ge=0)]
    libraries: dict[str, str]
    # What Keras computed with, and on what.
    trainer: str | None = None


class Evaluation(Section):
    """Of the ONNX file itself, on the test set."""

    dataset: str
    examples: PositiveInt
    accuracy: Fraction
    top5: Fraction
    calibration_error: Fraction
    # How many of the examples got each label, in the order of the labels.
    predicted: list[Annotated[int, Field(ge=0)]] | None = None

    @model_validator(mode="after")
    def _every_example_got_a_label(self) -> Self:
        if self.predicted is not None and sum(self.predicted) != self.examples:
            raise ValueError(f"predicted counts {sum(self.predicted)} of {self.examples} examples")
        return self


class Calibration(Section):
    """The temperature inside the graph; the errors are the expected calibration error on the test set."""

    examples: PositiveInt
    temperature: Annotated[float, Field(gt=0)]
    error_before: Fraction
    error_after: Fraction


class Quantization(Section):
    """How a graph of smaller numbers came from another version of the same model."""

    parent: Version
    method: str
    calibration_examples: Annotated[int, Field(ge=0)]
    parent_accuracy: Fraction | None


class Parity(Section):
    """Keras against ONNX Runtime on real pictures."""

    examples: PositiveInt
    max_abs_difference: Annotated[float, Field(ge=0)]
    argmax_equal: bool


class Manifest(Section):
    format: Literal[1]
    name: Name
    version: Version
    description: str
    input: InputSpec
    output: OutputSpec
    labels: Annotated[list[str], Field(min_length=1)]
    max_batch_size: PositiveInt
    onnx: Onnx
    golden: Golden
    example: Example | None
    training: Training | None
    evaluation: Evaluation | None
    parity: Parity | None
    weights: Literal["trained", "random", "fixed", "imported"] = "trained"
    calibration: Calibration | None = None
    rewrites: list[str] = []
    quantization: Quantization | None = None

    @property
    def classifies(self) -> bool:
        """Whether an answer is one score a class, and not maps."""
        return self.output.kind != "maps"

    @property
    def output_axes(self) -> tuple[int | None, ...]:
        """The axes of one answer, without the batch; None where one is free."""
        return (len(self.labels),) if self.classifies else self.input.maps(len(self.labels))

    @model_validator(mode="after")
    def _each_label_was_counted(self) -> Self:
        counts = None if self.evaluation is None else self.evaluation.predicted
        if counts is not None and len(counts) != len(self.labels):
            raise ValueError(f"evaluation.predicted has {len(counts)} counts for {len(self.labels)} labels")
        return self

    @model_validator(mode="after")
    def _only_maps_are_free(self) -> Self:
        if self.input.free and self.classifies:
            raise ValueError("a classifier's height and width are fixed")
        return self
