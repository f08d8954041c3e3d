"""Checks and decodes the tensors of the Open Inference Protocol: datatypes, JSON data, raw bytes.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol and its binary tensor data
extension. Errors name the input that the model expects.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...batching.pending_request import Rows, Scores
from ...errors import InvalidInput, PayloadTooLarge, shortened, shown
from ...imaging.decode_pool import EncodedImage
from ...repository.manifest import MAX_DYNAMIC_PIXELS, InputSpec, Manifest
from .json_body import decode_base64
from .parsing.number_array import NumberArray, as_array, not_numbers

# NumPy's little-endian type of each datatype. BYTES has no fixed size, and BF16 no NumPy type.
DTYPES: dict[str, str] = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
DATATYPES = frozenset({*DTYPES, "BYTES", "BF16"})
DATATYPE_NAMES = {"uint8": "UINT8", "float32": "FP32"}

# A number in JSON takes five times the memory of a float32, and longer to write than to compute.
MAX_JSON_NUMBERS = 1 << 20


@dataclass(frozen=True, slots=True)
class RawBytes:
    """Little-endian elements in row-major order; BYTES elements each follow their length as a uint32."""

    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class JsonValues:
    """A JSON value: numbers, or base64 strings for BYTES, nested as in the shape or flat.

    `where` is the value's path in the body, for error messages.
    """

    values: Any
    where: str = "data"


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers in row-major order, and the NumPy type of the protocol field that held them."""

    values: Sequence[float]
    dtype: type[np.generic]


@dataclass(frozen=True, slots=True)
class Elements:
    """The elements of a BYTES tensor."""

    values: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Decoded:
    """The rows or images that `decode_tensor` has read from another payload."""

    content: Rows | list[EncodedImage]


@dataclass(frozen=True, slots=True)
class TensorPayload:
    """An input tensor of a request: parsed, but neither checked nor decoded."""

    name: str
    datatype: str
    shape: Sequence[int]
    payload: RawBytes | JsonValues | Numbers | Elements | Decoded


def decode_tensor(tensor: TensorPayload, spec: InputSpec, max_rows: int) -> Rows | list[EncodedImage]:
    """Decode a tensor to rows of the model's input, or, if its datatype is BYTES, to encoded images.

    Raises:
        InvalidInput: the datatype, shape or data do not fit the model's input.
        PayloadTooLarge: it has more than `max_rows` rows, or more pixels than `MAX_DYNAMIC_PIXELS`.
    """
    if isinstance(tensor.payload, Decoded):
        return tensor.payload.content
    if tensor.datatype == "BYTES":
        return _decode_images(tensor, check_image_shape(tensor.shape, spec, max_rows))
    check_datatype(tensor.datatype, spec)
    spec = resolve_dynamic_shape(tensor.shape, spec)
    count = check_shape(tensor.shape, spec, max_rows)
    match tensor.payload:
        case RawBytes(data):
            return rows_from_bytes(data, count, spec)
        case JsonValues(values):
            return rows_from_json(values, count, spec)
        case Numbers(values, dtype):
            return rows_from_numbers(np.fromiter(values, dtype, len(values)), count, spec)
        case Elements():
            raise InvalidInput(f"input {spec.name!r} has BYTES elements; expected {describe_input(spec)}")


def _decode_images(tensor: TensorPayload, count: int) -> list[EncodedImage]:
    match tensor.payload:
        case RawBytes(data):
            elements: Sequence[bytes] = elements_from_bytes(data, count, tensor.name)
        case JsonValues(values, where):
            elements = _elements_from_json(tensor, values, where, count)
        case Elements(values):
            elements = values
        case Numbers():
            raise InvalidInput(f"input {shown(tensor.name)} of datatype BYTES has numbers; expected bytes")
    if len(elements) != count:
        raise InvalidInput(
            f"input {shown(tensor.name)} has {len(elements)} BYTES elements; its shape has {count}"
        )
    return [EncodedImage(element) for element in elements]


def _elements_from_json(tensor: TensorPayload, values: Any, where: str, count: int) -> list[bytes]:
    if len(tensor.shape) == 2 and isinstance(values, list):  # nested as in the shape, or flat
        values = [each[0] if isinstance(each, list) and len(each) == 1 else each for each in values]
    if (
        not isinstance(values, list)
        or len(values) != count
        or not all(isinstance(text, str) for text in values)
    ):
        raise InvalidInput(f"the data of input {shown(tensor.name)} is not a list of {count} base64 strings")
    return [decode_base64(text, f"{where}.{index}") for index, text in enumerate(values)]


def describe_input(spec: InputSpec) -> str:
    """Describe the expected input for error messages."""
    names = iter(("height", "width"))
    shape = ", ".join(next(names) if axis is None else str(axis) for axis in spec.axes)
    datatype = DATATYPE_NAMES[spec.dtype]
    return f"{datatype} of shape [n, {shape}] (or BYTES of shape [n], each element an encoded image)"


def check_datatype(datatype: str, spec: InputSpec) -> None:
    """
    Raises:
        InvalidInput: the model does not accept this datatype.
    """
    if datatype != DATATYPE_NAMES[spec.dtype]:
        known = "" if datatype in DATATYPES else ", which is not in the protocol"
        raise InvalidInput(
            f"input {spec.name!r} has datatype {shortened(datatype)}{known}; expected {describe_input(spec)}"
        )


def resolve_dynamic_shape(shape: Sequence[int], spec: InputSpec) -> InputSpec:
    """Replace a dynamic height and width with those of a tensor of this shape.

    Raises:
        InvalidInput: it does not have the axes of images.
        PayloadTooLarge: it has more pixels than `MAX_DYNAMIC_PIXELS`.
    """
    if not spec.dynamic:
        return spec
    if len(shape) != 4 or min(shape[1:]) < 1:
        raise InvalidInput(f"input {spec.name!r} has shape {shown(shape)}; expected {describe_input(spec)}")
    resolved = spec.with_size_of(shape[1:])
    pixels = shape[0] * math.prod(resolved.shape) // spec.channels
    if pixels > MAX_DYNAMIC_PIXELS:
        raise PayloadTooLarge(
            f"input {spec.name!r} has {pixels:,} pixels; a request holds at most {MAX_DYNAMIC_PIXELS:,}"
        )
    return resolved


def check_shape(shape: Sequence[int], spec: InputSpec, max_rows: int) -> int:
    """The number of rows of a tensor of this shape.

    Raises:
        InvalidInput: it is not `[n, …]` of the model's input with n at least 1.
        PayloadTooLarge: n exceeds `max_rows`.
    """
    if tuple(shape[1:]) != spec.shape or len(shape) != 1 + len(spec.shape):
        raise InvalidInput(f"input {spec.name!r} has shape {shown(shape)}; expected {describe_input(spec)}")
    return check_count(shape[0], spec, max_rows)


def check_image_shape(shape: Sequence[int], spec: InputSpec, max_rows: int) -> int:
    """The number of images in a BYTES tensor of this shape.

    Raises:
        InvalidInput: it is not `[n]` or `[n, 1]` with n at least 1.
        PayloadTooLarge: n exceeds `max_rows`.
    """
    if len(shape) not in (1, 2) or tuple(shape[1:]) not in ((), (1,)):
        raise InvalidInput(f"input {spec.name!r} has shape {shown(shape)}; expected {describe_input(spec)}")
    return check_count(shape[0], spec, max_rows)


def check_count(count: int, spec: InputSpec, max_rows: int) -> int:
    """Check the number of rows against the limits.

    Raises:
        InvalidInput: less than 1.
        PayloadTooLarge: more than `max_rows`.
    """
    if count < 1:
        raise InvalidInput(f"input {spec.name!r} has {count} rows; a request holds at least 1")
    if count > max_rows:
        raise PayloadTooLarge(
            f"input {spec.name!r} has {count} rows; a request holds at most {max_rows} (CONVSERVE_MAX_IMAGES)"
        )
    return count


def row_bytes(spec: InputSpec) -> int:
    """The number of bytes of one row, of a model whose input has a fixed shape."""
    return math.prod(spec.shape) * np.dtype(spec.dtype).itemsize


def rows_from_bytes(data: bytes | memoryview, count: int, spec: InputSpec) -> Rows:
    """Decode `count` rows of the model's input from little-endian bytes.

    Raises:
        InvalidInput: the number of bytes does not match.
    """
    size = count * row_bytes(spec)
    if len(data) != size:
        raise InvalidInput(
            f"input {spec.name!r} has {len(data)} bytes of data; its shape and datatype need {size}"
        )
    dtype = DTYPES[DATATYPE_NAMES[spec.dtype]]
    rows: Rows = np.frombuffer(data, dtype=dtype).reshape(count, *spec.shape).astype(spec.dtype, copy=False)
    return rows


def rows_from_json(data: Any, count: int, spec: InputSpec) -> Rows:
    """Decode `count` rows of the model's input from JSON numbers, nested as in the shape or flat.

    Raises:
        InvalidInput: they are not numbers, their count does not match, or the input's type cannot hold them.
    """
    if isinstance(data, NumberArray):
        check_numbers(data.shape, count, spec)
    return rows_from_numbers(parse_numbers(data, spec.name), count, spec)


def rows_from_numbers(values: NDArray[Any], count: int, spec: InputSpec) -> Rows:
    """Decode `count` rows of the model's input from an array of that shape, or a flat one.

    Raises:
        InvalidInput: their count does not match, or the input's type cannot hold them.
    """
    check_numbers(values.shape, count, spec)
    return as_pixels(values, spec).reshape(count, *spec.shape)


def check_numbers(shape: Sequence[int], count: int, spec: InputSpec) -> None:
    """
    Raises:
        InvalidInput: an array of this shape is neither `count` rows of the model's input nor flat.
    """
    expected = (count, *spec.shape)
    if math.prod(shape) != math.prod(expected) or (len(shape) != 1 and tuple(shape) != expected):
        raise InvalidInput(
            f"the data of input {spec.name!r} has shape {shown(shape)}, which does not match {list(expected)}"
        )


def parse_numbers(data: Any, name: str) -> NDArray[Any]:
    """Convert a JSON value, in which arrays may be cut out, to an array of numbers.

    Raises:
        InvalidInput: it has values other than numbers, or lists of unequal lengths.
    """
    if isinstance(data, NumberArray):
        return data.parse(name)
    if isinstance(data, list) and any(isinstance(each, NumberArray) for each in data):
        return _stacked(data, name)
    values: list[Any] = [data]
    shape: list[int] = []
    while values and set(map(type, values)) == {list}:
        lengths = set(map(len, values))
        if len(lengths) > 1:
            raise not_numbers(name)
        shape.append(lengths.pop())
        values = list(chain.from_iterable(values))
    # Checked by type, because NumPy converts `true` among numbers to 1.
    if not {int, float}.issuperset(map(type, values)):
        raise not_numbers(name)
    try:
        return as_array(values).reshape(shape)
    except (ValueError, OverflowError) as error:  # more axes or a larger number than NumPy supports
        raise not_numbers(name) from error


def _stacked(rows: list[Any], name: str) -> NDArray[Any]:
    """One array of rows, of which some are cut out and others, with shorter numbers, are not."""
    shapes = {row.shape for row in rows if isinstance(row, NumberArray)}
    if len(shapes) > 1:
        raise not_numbers(name)
    arrays = [parse_numbers(row, name) for row in rows]
    if {array.shape for array in arrays} != shapes:
        raise not_numbers(name)
    return np.stack(arrays)


def as_pixels(values: NDArray[Any], spec: InputSpec) -> Rows:
    """Convert numbers to the type of the model's input, if it can represent them.

    Raises:
        InvalidInput: for a uint8 input, values that are not integers from 0 to 255; for a float32 input,
            values that overflow.
    """
    if spec.dtype == "float32":
        with np.errstate(over="ignore"):
            floats = values.astype(np.float32)
        if np.any(np.isinf(floats) & np.isfinite(values)):
            raise InvalidInput(f"input {spec.name!r} takes float32; the data has larger numbers")
        return floats
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        raise InvalidInput(
            f"input {spec.name!r} takes integers from 0 to 255; the data has fractions: "
            "send unscaled pixels, this model rescales them itself"
        )
    if values.size and not (values.min() >= 0 and values.max() <= 255):
        raise InvalidInput(
            f"input {spec.name!r} takes integers from 0 to 255; the data ranges from "
            f"{values.min()} to {values.max()}"
        )
    return values.astype(np.uint8)


def elements_from_bytes(data: bytes | memoryview, count: int, name: str) -> list[bytes]:
    """Split the raw form of a BYTES tensor: each element follows its length as a little-endian uint32.

    Raises:
        InvalidInput: the data does not have exactly `count` elements.
    """
    elements: list[bytes] = []
    position = 0
    while position < len(data) and len(elements) <= count:
        if position + 4 > len(data):
            break
        (size,) = struct.unpack_from("<I", data, position)
        elements.append(bytes(data[position + 4 : position + 4 + size]))
        position += 4 + size
    if position != len(data) or len(elements) != count:
        raise InvalidInput(
            f"the data of input {name!r} does not have exactly {count} BYTES elements: each is a "
            "little-endian uint32 length and that many bytes"
        )
    return elements


def elements_to_bytes(elements: Sequence[bytes]) -> bytes:
    """The raw form of a BYTES tensor."""
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def check_json_size(scores: Scores, manifest: Manifest) -> None:
    """
    Raises:
        InvalidInput: the feature maps have more numbers than `MAX_JSON_NUMBERS`.
    """
    if not manifest.classifies and scores.size > MAX_JSON_NUMBERS:
        raise InvalidInput(
            f"the feature maps have {scores.size:,} numbers; the limit for JSON is {MAX_JSON_NUMBERS:,}: "
            "request binary data, with the binary tensor data extension or gRPC"
        )
