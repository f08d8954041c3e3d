"""The manifest of a model version, `manifest.json`; models/README.md describes its format."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Version = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,17}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]
# Every string, number and list has an upper bound: a version is read before anything else about it is known.
ShortText = Annotated[str, StringConstraints(max_length=256)]
Label = Annotated[str, StringConstraints(max_length=512)]
Count = Annotated[int, Field(ge=0, le=10**15)]
PositiveCount = Annotated[int, Field(ge=1, le=10**15)]
Side = Annotated[int, Field(ge=1, le=16_384)]

MAX_FILES = 256
MAX_VARIANTS = 16
MAX_LAYERS = 1000
MAX_LABELS = 65_536
MAX_BATCH_SIZE = 4096
# Of the inputs of the largest batch, and of its outputs.
MAX_BATCH_BYTES = 1 << 30

# Kinds of files that a browser shows and in which no script can run.
EVIDENCE_SUFFIXES = (".png", ".json", ".md")

# Limits the pixels of all images of one request to a model of dynamic size, because its feature maps are many
# times as large.
MAX_DYNAMIC_PIXELS = 1 << 22


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class InputSpec(Section):
    """The input of the graph and the preprocessing of images; None is a dynamic height or width."""

    name: ShortText
    dtype: Literal["uint8", "float32"]
    layout: Literal["NHWC", "NCHW"]
    height: Side | None
    width: Side | None
    channels: Literal[1, 3]
    resize: Literal["fit", "stretch", "crop", "ink"]
    polarity: Literal["light-on-dark", "dark-on-light"] | None
    scale: float | None
    mean: Annotated[list[float], Field(max_length=3)] | None
    std: Annotated[list[float], Field(max_length=3)] | None

    @property
    def dynamic(self) -> bool:
        """True if the graph takes images of any height and width."""
        return self.height is None

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one image, without the batch axis.

        Raises:
            ValueError: the size is dynamic.
        """
        if self.height is None or self.width is None:
            raise ValueError(f"input {self.name!r} has no fixed shape: its height and width are dynamic")
        if self.layout == "NHWC":
            return (self.height, self.width, self.channels)
        return (self.channels, self.height, self.width)

    @property
    def axes(self) -> tuple[int | None, ...]:
        """The axes of one image, without the batch axis; None for a dynamic one."""
        return self._in_layout(self.channels)

    def with_size_of(self, image: Sequence[int]) -> InputSpec:
        """The same input with the height and width of an image of this shape, if they are dynamic."""
        if not self.dynamic:
            return self
        height, width = image[:2] if self.layout == "NHWC" else image[1:]
        return self.model_copy(update={"height": height, "width": width})

    def feature_map_axes(self, count: int) -> tuple[int | None, ...]:
        """The axes of `count` feature maps of an image, without the batch axis; None for a dynamic one."""
        return self._in_layout(count)

    def _in_layout(self, depth: int) -> tuple[int | None, ...]:
        if self.layout == "NHWC":
            return (self.height, self.width, depth)
        return (depth, self.height, self.width)

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if (self.height is None) != (self.width is None):
            raise ValueError("height and width must both be dynamic or both be fixed")
        if self.resize == "ink" and (self.height is None or self.polarity is None):
            raise ValueError("the resize rule ink needs a fixed height and width, and a polarity")
        if self.dtype == "uint8" and (self.scale, self.mean, self.std) != (None, None, None):
            raise ValueError("scale, mean and std are for float32 inputs; a uint8 graph scales by itself")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != self.channels:
                raise ValueError(f"{name} has {len(values)} values for {self.channels} channels")
        if self.std is not None and not all(self.std):
            raise ValueError("std contains a zero")
        return self


class OutputSpec(Section):
    """The float32 output of the graph: `[batch, classes]`, or feature maps of the input's size.

    The scores of a sigmoid are independent probabilities: they do not sum to one.
    """

    name: ShortText
    kind: Literal["probabilities", "logits", "sigmoid", "maps"]


class PublishedFile(Section):
    """A file of the version, as it was published."""

    name: FileName
    size: Annotated[int, Field(ge=0, le=1 << 40)]
    sha256: Digest


class ExternalFile(Section):
    """A file beside the graph from which the graph takes weights."""

    file: FileName
    sha256: Digest


class Onnx(Section):
    file: FileName
    sha256: Digest
    opset: Annotated[int, Field(ge=1, le=1000)]
    parameters: Count
    external: Annotated[list[ExternalFile], Field(max_length=64)] = []


class Golden(Section):
    file: FileName
    tolerance: Annotated[float, Field(gt=0)]


class Example(Section):
    """An example image and its expected label."""

    file: FileName
    label: Label


class Training(Section):
    dataset: ShortText
    dataset_sha256: Digest
    examples: PositiveCount
    epochs: Count
    seed: Annotated[int, Field(ge=-(2**63), lt=2**64)]
    seconds: Annotated[float, Field(ge=0)]
    libraries: Annotated[dict[ShortText, ShortText], Field(max_length=100)]
    # Keras backend and device.
    trainer: ShortText | None = None


class Evaluation(Section):
    """The evaluation of the ONNX file on its test set."""

    dataset: ShortText
    examples: PositiveCount
    accuracy: Fraction
    top5: Fraction
    calibration_error: Fraction
    # Number of examples predicted for each label, in the order of the labels.
    predicted: Annotated[list[Count], Field(max_length=MAX_LABELS)] | None = None

    @model_validator(mode="after")
    def _check_predictions(self) -> Self:
        if self.predicted is not None and sum(self.predicted) != self.examples:
            raise ValueError(f"predicted counts {sum(self.predicted)} of {self.examples} examples")
        return self


class Calibration(Section):
    """The temperature in the graph, and the expected calibration error on the test set."""

    examples: PositiveCount
    temperature: Annotated[float, Field(gt=0)]
    error_before: Fraction
    error_after: Fraction


class Quantization(Section):
    """The reduced precision of a graph, and the version it was made from."""

    parent: Version
    method: ShortText
    calibration_examples: Count
    parent_accuracy: Fraction | None


class Parity(Section):
    """The difference between Keras and ONNX Runtime on real images."""

    examples: PositiveCount
    max_abs_difference: Annotated[float, Field(ge=0)]
    argmax_equal: bool


class Variant(Section):
    """Another graph of the same network, for a provider or in another precision."""

    file: FileName
    provider: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")] | None
    precision: Literal["float32", "float16", "bfloat16", "int8"] | None
    golden: Golden
    evaluation: Evaluation | None

    @model_validator(mode="after")
    def _check_purpose(self) -> Self:
        if self.provider is None and self.precision is None:
            raise ValueError(f"the variant {self.file} names neither a provider nor a precision")
        return self


class Inspect(Section):
    """A graph that also returns the outputs of layers; it takes its weights from the model's graph."""

    file: FileName
    layers: Annotated[list[ShortText], Field(min_length=1, max_length=MAX_LAYERS)]


class Features(Section):
    """A second output of the graph, `[batch, size]`: the features in front of the last layer."""

    output: ShortText
    size: PositiveCount
    # Statistics of the features of training images, and the distance from them that is unusual.
    file: FileName | None
    threshold: float | None


# The fields that format 1 does not have.
_FORMAT_2 = ("files", "variants", "inspect", "features")


class Manifest(Section):
    format: Literal[1, 2]
    name: Name
    version: Version
    description: Annotated[str, StringConstraints(max_length=10_000)]
    input: InputSpec
    output: OutputSpec
    labels: Annotated[list[Label], Field(min_length=1, max_length=MAX_LABELS)]
    max_batch_size: Annotated[int, Field(ge=1, le=MAX_BATCH_SIZE)]
    onnx: Onnx
    golden: Golden
    example: Example | None
    training: Training | None
    evaluation: Evaluation | None
    parity: Parity | None
    weights: Literal["trained", "random", "fixed", "imported"] = "trained"
    calibration: Calibration | None = None
    rewrites: Annotated[list[ShortText], Field(max_length=100)] = []
    quantization: Quantization | None = None
    # Every file of the version except the manifest; empty in format 1.
    files: Annotated[list[PublishedFile], Field(max_length=MAX_FILES)] = []
    variants: Annotated[list[Variant], Field(max_length=MAX_VARIANTS)] = []
    inspect: Inspect | None = None
    features: Features | None = None

    @property
    def classifies(self) -> bool:
        """True if the output is a score for each class, False for feature maps."""
        return self.output.kind != "maps"

    @property
    def output_axes(self) -> tuple[int | None, ...]:
        """The axes of the output for one image, without the batch axis; None for a dynamic one."""
        return (len(self.labels),) if self.classifies else self.input.feature_map_axes(len(self.labels))

    @model_validator(mode="after")
    def _check_files(self) -> Self:
        if self.format == 1:
            unknown = self.model_fields_set.intersection(_FORMAT_2)
            if unknown:
                raise ValueError(f"format 1 has no field {min(unknown)!r}; format 2 has")
            return self
        digests = {each.name: each.sha256 for each in self.files}
        if len(digests) < len(self.files):
            raise ValueError("files lists a file twice")
        missing = self.files_in_use.difference(digests)
        if missing:
            raise ValueError(f"files does not list {min(missing)}")
        for file, sha256 in [
            (self.onnx.file, self.onnx.sha256),
            *((each.file, each.sha256) for each in self.onnx.external),
        ]:
            if digests[file] != sha256:
                raise ValueError(f"files and onnx have different digests of {file}")
        return self

    @property
    def files_in_use(self) -> frozenset[str]:
        """The names of the files that a field of the manifest refers to."""
        names = [self.onnx.file, self.golden.file, *(each.file for each in self.onnx.external)]
        names += [name for each in self.variants for name in (each.file, each.golden.file)]
        names += [each.file for each in (self.example, self.inspect) if each is not None]
        if self.features is not None and self.features.file is not None:
            names.append(self.features.file)
        return frozenset(names)

    @property
    def evidence(self) -> Sequence[str]:
        """The names of the pictures, tables and texts of the version that people look at, sorted."""
        names = {each.name for each in self.files}
        if self.example is not None:
            names.add(self.example.file)
        return sorted(name for name in names if name.endswith(EVIDENCE_SUFFIXES))

    @model_validator(mode="after")
    def _check_variants(self) -> Self:
        purposes = [(each.provider, each.precision) for each in self.variants]
        if len(set(purposes)) < len(purposes):
            raise ValueError("two variants have the same provider and precision")
        return self

    @model_validator(mode="after")
    def _check_prediction_counts(self) -> Self:
        for evaluation in (self.evaluation, *(each.evaluation for each in self.variants)):
            counts = None if evaluation is None else evaluation.predicted
            if counts is not None and len(counts) != len(self.labels):
                raise ValueError(
                    f"evaluation.predicted has {len(counts)} counts for {len(self.labels)} labels"
                )
        return self

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if self.output.kind in ("logits", "probabilities") and len(self.labels) == 1:
            raise ValueError(
                f"{self.output.kind} of a single class are always 1; one class alone has the kind 'sigmoid'"
            )
        return self

    @model_validator(mode="after")
    def _check_dynamic_size(self) -> Self:
        if self.input.dynamic and self.classifies:
            raise ValueError("a classifier must have a fixed height and width")
        return self

    @model_validator(mode="after")
    def _check_batch_bytes(self) -> Self:
        for kind, itemsize, axes in (
            ("inputs", 1 if self.input.dtype == "uint8" else 4, self.input.axes),
            ("outputs", 4, self.output_axes),
        ):
            size = self.max_batch_size * itemsize * math.prod(axis or 1 for axis in axes)
            if size > MAX_BATCH_BYTES:
                raise ValueError(
                    f"the {kind} of {self.max_batch_size} images take {size:,} bytes; "
                    f"at most {MAX_BATCH_BYTES:,} are allowed"
                )
        return self
