"""Reads `inspect.onnx` without an ONNX library: the description of the layers, and where its weights are."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from ..errors import InvalidModel
from ..system.regular_files import open_regular
from .external_data import external_files
from .manifest import MAX_LAYERS, Count, Section, ShortText
from .protobuf_message import LENGTH, VARINT, Message

MAX_INSPECT_BYTES: Final = 32 << 20
METADATA: Final = "convserve.inspect"

# Fields of ModelProto, GraphProto and TensorProto.
_GRAPH, _PROPERTIES = 7, 14
_INITIALIZER = 5
_DIMS, _TYPE, _NAME, _EXTERNAL = 1, 2, 8, 13
_TYPES: Final[Mapping[int, np.dtype[Any]]] = {1: np.dtype("<f4"), 10: np.dtype("<f2")}

Pair = tuple[int, int]


class ReceptiveField(Section):
    """The field of unit (0, 0), and the distance between those of neighbours, in pixels of the input."""

    size: Pair
    step: Pair
    start: Pair


class InspectedLayer(Section):
    """A layer of the network; the names of values are those of the graph."""

    name: ShortText
    kind: ShortText
    operator: ShortText
    column: Annotated[int, Field(ge=1)] | None
    inputs: tuple[ShortText, ...]
    value: ShortText
    gradient: ShortText | None
    shape: Annotated[tuple[Annotated[int, Field(ge=1, le=1 << 24)], ...], Field(max_length=8)]
    parameters: Count
    multiply_adds: Count
    weights: ShortText | None
    bias: ShortText | None
    kernel: Pair | None
    stride: Pair | None
    padding: tuple[int, int, int, int] | None
    dilation: Pair | None
    groups: int | None
    field: ReceptiveField | None

    @property
    def has_maps(self) -> bool:
        """True for feature maps of more than one pixel."""
        return len(self.shape) == 3 and self.shape[1] * self.shape[2] > 1

    @property
    def plain_name(self) -> str:
        """The name without the column."""
        return self.name.rpartition(".")[2]


class Areas(Section):
    """The mean areas under the curves of deletion and insertion."""

    deletion: float
    insertion: float


class Faithfulness(Section):
    """The figures of a method on test images, with those of a random map and of a bright centre."""

    layer: ShortText | None
    images: Annotated[int, Field(ge=1)]
    deletion: float
    insertion: float
    random: Areas
    gaussian: Areas

    @property
    def offered(self) -> bool:
        """True if the method beat both, in deletion and in insertion."""
        rivals = (self.random, self.gaussian)
        return all(self.deletion < each.deletion and self.insertion > each.insertion for each in rivals)


class Inspection(Section):
    """The description in the metadata of `inspect.onnx`."""

    format: Literal[1]
    columns: Annotated[int, Field(ge=1)]
    parameters: Count
    multiply_adds: Count
    logits: ShortText
    score_weights: ShortText | None
    input_gradient: ShortText | None
    exact: tuple[ShortText, ...]
    reason: ShortText | None
    layers: Annotated[tuple[InspectedLayer, ...], Field(min_length=1, max_length=MAX_LAYERS)]
    faithfulness: dict[ShortText, Faithfulness]

    def named(self, name: str) -> list[InspectedLayer]:
        """The layers of this name: one, or that of each column for a name without a column."""
        exactly = [layer for layer in self.layers if layer.name == name]
        return exactly or [layer for layer in self.layers if layer.plain_name == name]


@dataclass(frozen=True, slots=True)
class WeightPlace:
    """The place of an initializer's values in a file."""

    file: str
    offset: int
    length: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class InspectFile:
    """An `inspect.onnx` that is known to be the published one.

    Attributes:
        path: the file.
        inspection: the description of its layers.
        weights: the places of the initializers that it takes from other files.
    """

    path: Path
    inspection: Inspection
    weights: Mapping[str, WeightPlace]

    @classmethod
    def read(cls, path: Path, allowed: frozenset[str]) -> Self:
        """Read the description.

        Args:
            allowed: the files of the version from which weights may be taken.

        Raises:
            InvalidModel: the file is not such a graph, or takes weights from another file.
        """
        try:
            with open_regular(path, MAX_INSPECT_BYTES) as file, memoryview(file.read()) as content:
                properties, weights = _read(content)
                foreign = external_files(content) - allowed
            inspection = Inspection.model_validate_json(properties.get(METADATA, ""), strict=False)
        except OSError as error:
            raise InvalidModel(f"{path.name} cannot be read: {error.strerror}") from error
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "the whole text"
            raise InvalidModel(f"{path.name}: {METADATA} is not valid: {where}: {first['msg']}") from error
        except ValueError as error:
            raise InvalidModel(f"{path.name} is not an ONNX graph: {error}") from error
        if foreign:
            raise InvalidModel(f"{path.name} takes weights from another file, {min(foreign)!r}")
        return cls(path, inspection, weights)

    @property
    def weight_bytes(self) -> int:
        """The bytes of all weights in other files."""
        return sum(place.length for place in self.weights.values())

    def read_weights(self) -> dict[str, NDArray[Any]]:
        """Copies of all weights: their places in the files are not aligned.

        Raises:
            InvalidModel: a file ends before a weight does.
        """
        return {name: self._read_weight(name) for name in self.weights}

    def read_weight(self, name: str) -> NDArray[np.float32] | None:
        """One weight as float32; None if it is in no other file."""
        if name not in self.weights:
            return None
        return self._read_weight(name).astype(np.float32)

    def _read_weight(self, name: str) -> NDArray[Any]:
        place = self.weights[name]
        try:
            with (
                (self.path.parent / place.file).open("rb") as file,
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
            ):
                data = content[place.offset : place.offset + place.length]
            return np.frombuffer(data, place.dtype).reshape(place.shape).copy()
        except (OSError, ValueError) as error:
            raise InvalidModel(f"{self.path.name}: the weight {name!r} cannot be read: {error}") from error


def _read(content: memoryview) -> tuple[dict[str, str], dict[str, WeightPlace]]:
    message = Message(content)
    properties: dict[str, str] = {}
    weights: dict[str, WeightPlace] = {}
    for number, wire_type, begin, end in message.fields(0, len(content)):
        if wire_type == LENGTH and number == _PROPERTIES:
            key, value = message.entry(begin, end)
            properties[key] = value
        elif wire_type == LENGTH and number == _GRAPH:
            for inner, kind, start, stop in message.fields(begin, end):
                if inner == _INITIALIZER and kind == LENGTH:
                    weights.update(_external(message, start, stop))
    return properties, weights


def _external(message: Message, begin: int, end: int) -> dict[str, WeightPlace]:
    """The place of an initializer; nothing if the graph contains it."""
    shape: list[int] = []
    entries: dict[str, str] = {}
    name, data_type = "", 0
    for number, wire_type, start, stop in message.fields(begin, end):
        if number == _DIMS and wire_type == VARINT:
            shape.append(message.integer(start, stop))
        elif number == _DIMS:
            while start < stop:
                size, start = message.next_integer(start, stop)
                shape.append(size)
        elif number == _TYPE and wire_type == VARINT:
            data_type = message.integer(start, stop)
        elif number == _NAME and wire_type == LENGTH:
            name = message.text(start, stop)
        elif number == _EXTERNAL and wire_type == LENGTH:
            key, value = message.entry(start, stop)
            entries[key] = value
    if not entries:
        return {}
    dtype = _TYPES.get(data_type)
    offset, length = (entries.get(key, "") for key in ("offset", "length"))
    if dtype is None or not (_is_count(offset) and _is_count(length)):
        raise ValueError(f"it takes the initializer {name[:64]!r} from another file in an unknown form")
    return {name: WeightPlace(entries.get("location", ""), int(offset), int(length), dtype, tuple(shape))}


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 20
