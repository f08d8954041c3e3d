"""Counts the fields of a ModelInferRequest in its bytes, before protobuf creates an object for each.

A field takes as little as two bytes in a message, and more than a hundred in memory. The scan follows the
[encoding](https://protobuf.dev/programming-guides/encoding/) and ends at the first count that exceeds its
limit, so it takes a few milliseconds for any message.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ....errors import InvalidInput, PayloadTooLarge
from ....repository.manifest import MAX_DYNAMIC_PIXELS, InputSpec, Manifest
from .wire_format import FIXED32, FIXED64, LENGTH, MAX_VARINT_BYTES, VARINT, field_head, read_varint

# A shorter message is parsed without a scan: it cannot have enough fields to matter.
MAX_UNSCANNED_BYTES = 2048
# Fields outside packed arrays; encoded images, of which a request may have `max_images`, count besides.
MAX_FIELDS = 4096
MAX_TENSORS = 64
MAX_DIMENSIONS = 64
# Everything but the elements of tensors: names, versions, parameters.
MAX_OTHER_BYTES = 1024 * 1024
# Packed elements that the model cannot take; the codec rejects them with a sentence that says why.
MAX_UNUSABLE_BYTES = 64 * 1024
COUNTED_AT_ONCE = 1024 * 1024

_FIXED = {FIXED64: 8, FIXED32: 4}

# Fields of ModelInferRequest, of its inputs, and of their contents.
MODEL_NAME, MODEL_VERSION, INPUTS, OUTPUTS, RAW_INPUT_CONTENTS = 1, 2, 5, 6, 7
SHAPE, CONTENTS = 3, 5
UINT_CONTENTS, FP32_CONTENTS, BYTES_CONTENTS = 4, 6, 8
_CONTENTS_OF_DTYPE = {"uint8": UINT_CONTENTS, "float32": FP32_CONTENTS}

_MALFORMED = "the request is not a message of type inference.ModelInferRequest"
_TOO_MANY_OTHER_BYTES = f"the request has more than {MAX_OTHER_BYTES:,} bytes besides its tensors"


@dataclass(slots=True)
class ScannedRequest:
    """The parts of a request that are needed before the rest is parsed.

    Attributes:
        raws: the raw contents, as views of the message.
        images: the elements of bytes_contents, as views of the message.
        packed: the field and the bytes of each packed array of elements.
        others: the parts of the message without raw contents and elements of bytes_contents.
    """

    model_name: str = ""
    model_version: str = ""
    raws: list[memoryview] = field(default_factory=list)
    images: list[memoryview] = field(default_factory=list)
    packed: list[tuple[int, memoryview]] = field(default_factory=list)
    others: list[bytes | memoryview] = field(default_factory=list)

    @property
    def packed_bytes(self) -> int:
        return sum(len(data) for _, data in self.packed)

    @property
    def image_bytes(self) -> int:
        return sum(map(len, self.images))

    def rest(self) -> bytes:
        """The message without its raw contents and the elements of bytes_contents."""
        return b"".join(self.others)

    def check_contents(self, manifest: Manifest, max_images: int) -> None:
        """
        Raises:
            PayloadTooLarge: the typed contents have more elements than any request for the model.
        """
        usable = _CONTENTS_OF_DTYPE[manifest.input.dtype]
        elements = unusable = 0
        limit = max_elements(manifest.input, max_images)
        for number, data in self.packed:
            if number != usable:
                unusable += len(data)
            elif number == FP32_CONTENTS:
                elements += len(data) // 4
            else:
                elements += _count_varints(data, limit - elements)
            if elements > limit or unusable > MAX_UNUSABLE_BYTES:
                raise PayloadTooLarge(
                    f"the request has more elements in contents than {manifest.name} takes; "
                    f"a request holds at most {limit:,}"
                )


def scan_request(message: bytes, max_images: int) -> ScannedRequest:
    """
    Raises:
        InvalidInput: this is not a ModelInferRequest.
        PayloadTooLarge: it has more fields than a request needs.
    """
    return _Scan(message, max_images).run()


def max_elements(spec: InputSpec, max_images: int) -> int:
    """The largest number of elements that a request may hold for this input."""
    if spec.dynamic:
        return MAX_DYNAMIC_PIXELS * spec.channels
    height, width, channels = spec.shape
    return height * width * channels * max_images


class _Scan:
    def __init__(self, message: bytes, max_images: int) -> None:
        self._message = message
        self._view = memoryview(message)
        self._fields_left = MAX_FIELDS
        self._images_left = max_images
        self._tensors_left = 2 * MAX_TENSORS
        self._request = ScannedRequest()

    def run(self) -> ScannedRequest:
        request, view, kept_from = self._request, self._view, 0
        others = request.others
        try:
            for number, kind, start, value, end in self._fields(0, len(view)):
                if number == RAW_INPUT_CONTENTS and kind == LENGTH:
                    self._count_tensor()
                    request.raws.append(view[value:end])
                    others.append(view[kept_from:start])
                    kept_from = end
                elif number == INPUTS and kind == LENGTH:
                    self._count_tensor()
                    if without_images := self._scan_input(value, end):
                        others += [view[kept_from:start], *_field(INPUTS, without_images)]
                        kept_from = end
                elif number == OUTPUTS and kind == LENGTH:
                    self._count_tensor()
                    self._scan_output(value, end)
                elif number == MODEL_NAME and kind == LENGTH:
                    request.model_name = self._text(value, end)
                elif number == MODEL_VERSION and kind == LENGTH:
                    request.model_version = self._text(value, end)
        except (IndexError, ValueError) as error:
            raise InvalidInput(_MALFORMED) from error
        others.append(view[kept_from:])
        if sum(map(len, others)) - request.packed_bytes > MAX_OTHER_BYTES:
            raise PayloadTooLarge(_TOO_MANY_OTHER_BYTES)
        return request

    def _scan_output(self, at: int, end: int) -> None:
        for _ in self._fields(at, end):
            pass

    def _scan_input(self, at: int, end: int) -> list[bytes | memoryview]:
        """The parts of the input without its images; nothing if it has none."""
        shape_bytes, kept_from = 0, at
        parts: list[bytes | memoryview] = []
        for number, kind, start, value, after in self._fields(at, end):
            if number == SHAPE:
                shape_bytes += after - value if kind == LENGTH else MAX_VARINT_BYTES
                if shape_bytes > MAX_DIMENSIONS * MAX_VARINT_BYTES:
                    raise PayloadTooLarge(f"the shape of an input has more than {MAX_DIMENSIONS} dimensions")
            elif number == CONTENTS and kind == LENGTH and (others := self._scan_contents(value, after)):
                parts += [self._view[kept_from:start], *_field(CONTENTS, others)]
                kept_from = after
        return [*parts, self._view[kept_from:end]] if parts else []

    def _scan_contents(self, at: int, end: int) -> list[bytes | memoryview]:
        """The parts of the contents without the images; nothing if there are none."""
        kept_from = at
        parts: list[bytes | memoryview] = []
        for number, kind, start, value, after in self._fields(at, end):
            if kind != LENGTH:
                continue
            if number == BYTES_CONTENTS:
                self._fields_left += 1
                self._images_left -= 1
                if self._images_left < 0:
                    raise PayloadTooLarge("the request has more bytes_contents than images are allowed")
                self._request.images.append(self._view[value:after])
                parts.append(self._view[kept_from:start])
                kept_from = after
            elif number < BYTES_CONTENTS:
                self._request.packed.append((number, self._view[value:after]))
        return [*parts, self._view[kept_from:end]] if parts else []

    def _count_tensor(self) -> None:
        self._tensors_left -= 1
        if self._tensors_left < 0:
            raise PayloadTooLarge(
                f"the request has more than {2 * MAX_TENSORS} inputs, outputs and raw_input_contents"
            )

    def _text(self, start: int, end: int) -> str:
        if end - start > MAX_OTHER_BYTES:
            raise PayloadTooLarge(_TOO_MANY_OTHER_BYTES)
        return self._message[start:end].decode()

    def _fields(self, at: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
        """Yield each field's number, wire type, start, start of its value, and end.

        Raises:
            IndexError: a field ends outside.
            InvalidInput: a field has no such form; groups are not in the protocol.
        """
        message = self._message
        while at < end:
            self._fields_left -= 1
            if self._fields_left < 0:
                raise PayloadTooLarge(f"the request has more than {MAX_FIELDS:,} fields")
            start = at
            tag = message[at]
            at += 1
            if tag >= 0x80:
                tag, at = read_varint(message, start)
            kind = tag & 7
            value = at
            if kind == LENGTH:
                size = message[at]
                at += 1
                if size >= 0x80:
                    size, at = read_varint(message, value)
                value = at
                at += size
            elif kind == VARINT:
                at = read_varint(message, at)[1]
            elif kind in _FIXED:
                at += _FIXED[kind]
            else:
                raise InvalidInput(_MALFORMED)
            if at > end:
                raise InvalidInput(_MALFORMED)
            yield tag >> 3, kind, start, value, at


def _field(number: int, parts: list[bytes | memoryview]) -> list[bytes | memoryview]:
    return [field_head(number, sum(map(len, parts))), *parts]


def _count_varints(data: memoryview, limit: int) -> int:
    """The number of varints; it may stop counting above the limit."""
    if len(data) <= limit:
        return len(data)  # an upper bound, which is enough
    count = 0
    for start in range(0, len(data), COUNTED_AT_ONCE):
        count += int(np.count_nonzero(np.frombuffer(data[start : start + COUNTED_AT_ONCE], np.uint8) < 0x80))
        if count > limit:
            break
    return count
