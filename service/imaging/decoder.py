"""Decodes an encoded image into an array of the model's input.

Only the plugins listed here are loaded. They are called directly and not through `Image.open`, which reports
oversized images through process-wide warnings and a process-wide limit before the size can be read.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from ..errors import InvalidImage, PayloadTooLarge
from ..repository.manifest import InputSpec
from .decompression_guards import LimitedSource, PixelLimit, recognise
from .flatten import (
    PART_PIXEL_BYTES,
    PART_PIXELS,
    flatten,
    flatten_and_resize,
    load,
    part_size,
    with_channels,
)
from .formats.plugins import PLUGINS, OwnFile
from .headers.image_header import ImageHeader, read_header
from .ink.glyph import WORK_BYTES, draw_glyph
from .orientation import ORIENTATION_KEYS, read_orientation
from .plain_png import PlainPng
from .polarity import Pixels, is_light, padded
from .resize import as_array, as_pixels, draft, draft_scale, resize, resize_plan

# Limits of reads for the header of a file, and for the rest of it if the file is large.
HEADER_READS = 5_000
BODY_READS = 200_000
LARGE_BYTES = 64 * 1024

BASE_BYTES = 2 << 20  # of the state of a codec, and of what the allocator rounds up
PIXEL_BYTES = 4  # of Pillow's images of three channels
# A resized image is copied to an array of bytes, which is inverted, transposed and normalised.
ROW_SAMPLE_BYTES = 1 + 1 + 1 + 4


_TURNS = frozenset(
    {
        Image.Transpose.TRANSPOSE,
        Image.Transpose.ROTATE_270,
        Image.Transpose.TRANSVERSE,
        Image.Transpose.ROTATE_90,
    }
)
# By EXIF orientation: the rotation that makes the stored image upright.
_TRANSPOSES: Mapping[object, Image.Transpose] = MappingProxyType(
    {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
)
# Error texts that clients may see: words, without paths and representations of objects.
_PLAIN_TEXT = re.compile(r"[A-Za-z][\w ,.:;()'-]{2,99}", re.ASCII)


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """An image of which only the header has been read; it can be decoded once."""

    format: str
    pixels: int
    image: ImageFile.ImageFile


class Decoder:
    """Decodes images into the input that `spec` describes. Immutable and thread-safe."""

    def __init__(self, spec: InputSpec, *, max_pixels: int, max_decode_bytes: int = 1 << 28) -> None:
        self._spec = spec
        self._max_pixels = PixelLimit(
            max_pixels, "a model of any size" if spec.dynamic else "CONVSERVE_MAX_PIXELS"
        )
        self._max_decode_bytes = max_decode_bytes
        # The rule for images without ink.
        self._ink = spec.model_copy(update={"resize": "fit"}) if spec.resize == "ink" else None
        self._scale = None if spec.scale is None else np.float32(spec.scale)
        channelwise = (-1,) if spec.layout == "NHWC" else (-1, 1, 1)
        self._mean = None if spec.mean is None else np.array(spec.mean, np.float32).reshape(channelwise)
        self._std = None if spec.std is None else np.array(spec.std, np.float32).reshape(channelwise)
        self._plain = self._plain_png()

    def of_pixels(self) -> Decoder:
        """A decoder of the same pixels `(height, width, channels)`, before normalisation."""
        plain = {"dtype": "uint8", "layout": "NHWC", "scale": None, "mean": None, "std": None}
        return Decoder(
            self._spec.model_copy(update=plain),
            max_pixels=self._max_pixels.pixels,
            max_decode_bytes=self._max_decode_bytes,
        )

    def _plain_png(self) -> tuple[PlainPng, ImageHeader] | None:
        """The PNGs that need no conversion, with the header of each of them; None if there are none."""
        spec = self._spec
        if spec.height is None or spec.width is None:
            return None
        plain = PlainPng(spec.width, spec.height, spec.channels)
        try:
            return plain, self._read_header(plain.head)
        except (InvalidImage, PayloadTooLarge):
            return None

    def empty(self, count: int) -> Pixels | NDArray[np.float32]:
        """An uninitialised array for `count` decoded images; the size of `spec` must not be dynamic."""
        return np.empty((count, *self._spec.shape), self._spec.dtype)

    def inspect(self, data: bytes) -> ImageHeader:
        """Read the size and the cost of an image without Pillow.

        Raises:
            InvalidImage: the format is unknown, the header is damaged, or the image is too large.
            PayloadTooLarge: decoding it needs too much memory.
        """
        if self._plain is not None and self._plain[0].matches(data):
            return self._plain[1]
        return self._read_header(data)

    def _read_header(self, data: bytes) -> ImageHeader:
        image_format = recognise(data)
        try:
            header = read_header(image_format, data, self._max_pixels)
        except (struct.error, ValueError) as error:
            raise self._invalid(image_format, error) from error
        if header.width * header.height > PART_PIXELS or header.codec_bytes > PART_PIXELS:
            needed = self.decode_bytes(header)
            if needed > self._max_decode_bytes:
                raise PayloadTooLarge(
                    f"decoding the {image_format} of {header.width}x{header.height} pixels needs "
                    f"{needed:,} bytes of memory; at most {self._max_decode_bytes:,} are allowed "
                    "(CONVSERVE_MAX_DECODE_BYTES)"
                )
        return header

    def decode_bytes(self, header: ImageHeader) -> int:
        """The bytes of memory that decoding an image needs at most."""
        spec = self._spec
        width, height = header.width, header.height
        if header.format == "JPEG":
            scale = draft_scale((width, height), spec)
            width, height = -(-width // scale), -(-height // scale)
        pixels = width * height
        needed = BASE_BYTES + pixels * header.pixel_bytes + header.codec_bytes
        if self._ink:
            needed += WORK_BYTES
        if pixels <= PART_PIXELS:
            return needed + max(pixels, 1) * PART_PIXEL_BYTES + self._row_bytes(pixels)
        plan = resize_plan((width, height), spec)
        across, down = plan.factor
        rows = -(-height // down)
        reduced = -(-width // across) * rows * PIXEL_BYTES
        between = plan.size[0] * rows * PIXEL_BYTES  # Pillow resizes in one direction after the other
        columns, part_rows = part_size(width, plan.factor)
        part = columns * part_rows * PART_PIXEL_BYTES
        # An image on its side is resized to the other sides.
        return needed + reduced + 2 * between + part + self._row_bytes(pixels)

    def _row_bytes(self, pixels: int) -> int:
        """The bytes of all arrays between the resized image and the row; `pixels` if the size is dynamic."""
        spec = self._spec
        area = pixels if spec.height is None or spec.width is None else spec.height * spec.width
        return area * (spec.channels * ROW_SAMPLE_BYTES + PIXEL_BYTES)

    def read(self, data: bytes, header: ImageHeader) -> Pixels | NDArray[np.float32]:
        """Open and decode an image whose header `inspect` has returned; raises as these do."""
        if self._plain is not None and header is self._plain[1]:
            rows = self._plain[0].unpack(data)
            if rows is not None:
                return self._as_input(as_array(rows, (header.width, header.height), self._spec.channels))
        return self.decode(self.open(data, header))

    def open(self, data: bytes, header: ImageHeader | None = None) -> OpenedImage:
        """Read only the header, which `inspect` may have returned.

        Raises:
            InvalidImage: the format is unknown, the header is damaged, or there are too many pixels.
            PayloadTooLarge: decoding the image needs too much memory.
        """
        header = header or self.inspect(data)
        try:
            # A file this small cannot exceed the limit of reads, and a plain buffer is faster.
            small = len(data) <= HEADER_READS
            source = io.BytesIO(data) if small else LimitedSource(data, reads=HEADER_READS)
            image = PLUGINS[header.format](source)
        except Exception as error:  # see decode
            raise self._invalid(header.format, error) from error
        pixels = header.width * header.height
        width, height = image.size
        if width * height != pixels:
            raise InvalidImage(f"the {header.format} is truncated or corrupt: its headers differ in size")
        if isinstance(source, LimitedSource):
            source.reads = BODY_READS if len(data) > LARGE_BYTES else HEADER_READS
        if header.format == "JPEG":
            # In one block: with each further one libjpeg may read again what it could not use before.
            image.decodermaxblock = len(data)
        return OpenedImage(header.format, pixels, image)

    def decode(self, image: OpenedImage) -> Pixels | NDArray[np.float32]:
        """The image as a C-contiguous array of `spec.shape` and `spec.dtype`, which may be read-only.

        Raises:
            InvalidImage: the image is truncated or corrupt.
        """
        # The image is not closed, to save time: it holds only memory, which its last reference frees.
        source, spec = image.image, self._spec
        try:
            draft(source, spec)
            loaded = load(source)
            transpose = _transpose(source)
            width, height = loaded.size
            if width * height <= PART_PIXELS:
                plain = flatten(loaded, source, spec.channels)
                if transpose is not None:
                    plain = plain.transpose(transpose)
                if plain.size != (spec.width, spec.height) and not self._ink:
                    plain = resize(plain, resize_plan(plain.size, spec))
            else:
                # Rotating the small result instead of the large image changes its pixels by about one of 255.
                plan = resize_plan(loaded.size, spec, turned=transpose in _TURNS)
                plain = flatten_and_resize(loaded, source, spec.channels, plan)
                if transpose is not None:
                    plain = plain.transpose(transpose)
            if self._ink and plain.size != (spec.width, spec.height):
                plain = self._drawn(plain)
        except Exception as error:
            # Pillow raises a dozen kinds of exceptions on damaged bytes, and each plugin its own. Here any of
            # them means that the image is invalid.
            raise self._invalid(image.format, error) from error
        pixels = as_pixels(plain)
        if spec.height is not None and spec.width is not None and plain.size != (spec.width, spec.height):
            pixels = padded(pixels, spec.height, spec.width)
        return self._as_input(pixels)

    def _as_input(self, pixels: Pixels) -> Pixels | NDArray[np.float32]:
        """Pixels `(height, width, channels)` in the polarity, layout and type of the input."""
        spec = self._spec
        if spec.polarity and is_light(pixels) == (spec.polarity == "light-on-dark"):
            pixels = ~pixels
        if spec.layout == "NCHW":
            pixels = np.ascontiguousarray(pixels.transpose(2, 0, 1))
        return pixels if spec.dtype == "uint8" else self._normalised(pixels)

    def _drawn(self, image: Image.Image) -> Image.Image:
        """The glyph of an image, in the polarity of `spec`; without one, the image as `fit` resizes it."""
        assert self._ink is not None
        spec = self._spec
        assert spec.width is not None
        assert spec.height is not None
        glyph = draw_glyph(image, (spec.width, spec.height))
        if glyph is None:
            return resize(image, resize_plan(image.size, self._ink))
        drawn = Image.fromarray(glyph if spec.polarity == "light-on-dark" else 255 - glyph)
        return with_channels(drawn, spec.channels)

    def _normalised(self, pixels: Pixels) -> NDArray[np.float32]:
        values = pixels.astype(np.float32)
        if self._scale is not None:
            values *= self._scale
        if self._mean is not None:
            values -= self._mean
        if self._std is not None:
            values /= self._std
        return values

    def _invalid(self, image_format: str, error: Exception) -> InvalidImage:
        if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
            return InvalidImage(f"the image has too many pixels; at most {self._max_pixels}")
        reason = str(error).replace("not identified by this driver", "it has no complete header")
        plain = isinstance(error, OSError | SyntaxError | ValueError) and _PLAIN_TEXT.fullmatch(reason)
        return InvalidImage(f"the {image_format} is truncated or corrupt" + (f": {reason}" if plain else ""))


def _transpose(image: ImageFile.ImageFile) -> Image.Transpose | None:
    """The rotation that the metadata of the image asks for; Pillow rotates TIFFs itself."""
    if isinstance(image, OwnFile):
        return _TRANSPOSES.get(image.orientation)
    if ORIENTATION_KEYS.isdisjoint(image.info) or isinstance(image, TiffImageFile):
        return None
    return _TRANSPOSES.get(read_orientation(image.info))
