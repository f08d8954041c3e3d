"""Decodes an encoded image into an array of the model's input. Only this module and `resize` import PIL.

Only the plugins listed here are loaded. They are called directly and not through `Image.open`, which reports
oversized images through process-wide warnings and a process-wide limit before the size can be read.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ExifTags import Base as Tag
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from ..errors import InvalidImage
from ..repository.manifest import InputSpec
from .decompression_guards import LimitedSource, check_bombs, check_size, recognise
from .polarity import Pixels, is_light
from .resize import draft, resize

# Limits of reads for the header of a file, and for the rest of it.
HEADER_READS = 10_000
BODY_READS = 200_000


class _FirstFrame(GifImageFile):
    """A GIF of one frame; for a second one Pillow would allocate all pixels as it opens the file."""

    @property
    def disposal_method(self) -> int:
        return 0

    @disposal_method.setter
    def disposal_method(self, method: int) -> None:
        pass


_PLUGINS: Mapping[str, type[ImageFile.ImageFile]] = MappingProxyType(
    {
        "PNG": PngImageFile,
        "JPEG": JpegImageFile,
        "WebP": WebPImageFile,
        "BMP": BmpImageFile,
        "GIF": _FirstFrame,
        "TIFF": TiffImageFile,
    }
)

WHITE_IS_ZERO = 0  # the default of the tag PhotometricInterpretation

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
# Keys of `info` that may contain an orientation; parsing them takes longer than decoding a small image.
_ORIENTATION_KEYS = frozenset({"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"})

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

    def __init__(self, spec: InputSpec, *, max_pixels: int) -> None:
        self._spec = spec
        self._max_pixels = max_pixels
        self._scale = None if spec.scale is None else np.float32(spec.scale)
        channelwise = (-1,) if spec.layout == "NHWC" else (-1, 1, 1)
        self._mean = None if spec.mean is None else np.array(spec.mean, np.float32).reshape(channelwise)
        self._std = None if spec.std is None else np.array(spec.std, np.float32).reshape(channelwise)

    def empty(self, count: int) -> Pixels | NDArray[np.float32]:
        """An uninitialised array for `count` decoded images; the size of `spec` must not be dynamic."""
        return np.empty((count, *self._spec.shape), self._spec.dtype)

    def open(self, data: bytes) -> OpenedImage:
        """Read only the header.

        Raises:
            InvalidImage: the format is unknown, the header is damaged, or there are too many pixels.
        """
        image_format = recognise(data)
        try:
            check_bombs(image_format, data, self._max_pixels)
            # A file this small cannot exceed the limit of reads, and a plain buffer is faster.
            small = len(data) <= HEADER_READS
            source = io.BytesIO(data) if small else LimitedSource(data, reads=HEADER_READS)
            image = _PLUGINS[image_format](source)
        except InvalidImage:
            raise
        except Exception as error:  # see decode
            raise self._invalid(image_format, error) from error
        check_size(*image.size, self._max_pixels)
        if isinstance(source, LimitedSource):
            source.reads = BODY_READS
        return OpenedImage(image_format, image.width * image.height, image)

    def decode(self, image: OpenedImage) -> Pixels | NDArray[np.float32]:
        """The image as a C-contiguous array of `spec.shape` and `spec.dtype`, which may be read-only.

        Raises:
            InvalidImage: the image is truncated or corrupt.
        """
        # The image is not closed, to save time: it holds only memory, which its last reference frees.
        try:
            draft(image.image, self._spec)
            upright = _upright(_opaque(image.image), image.image)
            coloured = _with_channels(upright, self._spec.channels)
        except Exception as error:
            # Pillow raises a dozen kinds of exceptions on damaged bytes, and each plugin its own. Here any of
            # them means that the image is invalid.
            raise self._invalid(image.format, error) from error
        pixels = resize(coloured, self._spec)
        if self._spec.polarity and is_light(pixels) == (self._spec.polarity == "light-on-dark"):
            pixels = 255 - pixels
        if self._spec.layout == "NCHW":
            pixels = np.ascontiguousarray(pixels.transpose(2, 0, 1))
        return pixels if self._spec.dtype == "uint8" else self._normalised(pixels)

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
            return InvalidImage(f"the image has too many pixels; at most {self._max_pixels:,} are decoded")
        reason = str(error).replace("not identified by this driver", "it has no complete header")
        plain = isinstance(error, OSError | SyntaxError | ValueError) and _PLAIN_TEXT.fullmatch(reason)
        return InvalidImage(f"the {image_format} is truncated or corrupt" + (f": {reason}" if plain else ""))


def _opaque(image: ImageFile.ImageFile) -> Image.Image:
    """`image` decoded to mode L or RGB, with transparent pixels on white."""
    if "transparency" in image.info:
        _scale_key_colour(image)
    image.load()
    if image.mode.startswith(("I", "F")):
        return _eight_bits(image)
    if image.has_transparency_data:
        plain = image.convert("LA") if image.mode == "La" else image
        layer = plain if plain.mode == "RGBA" else plain.convert("RGBA")
        canvas = Image.new("RGB", layer.size, (255, 255, 255))
        canvas.paste(layer, mask=layer)
        return canvas
    return _with_channels(image, 1 if image.mode in ("1", "L") else 3)


def _with_channels(image: Image.Image, channels: int) -> Image.Image:
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _scale_key_colour(image: ImageFile.ImageFile) -> None:
    # Pillow scales the pixels of these PNGs to eight bits, but not their transparent colour.
    key = image.info["transparency"]
    match image.tile[0].args:
        case "L;2":
            image.info["transparency"] = (key & 3) * 85
        case "L;4":
            image.info["transparency"] = (key & 15) * 17
        case "RGB;16B":
            image.info["transparency"] = tuple(value >> 8 for value in key)


def _eight_bits(image: ImageFile.ImageFile) -> Image.Image:
    """An image of one channel of more than eight bits, which Pillow would clip, as mode L."""
    tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    if image.mode.startswith("I;16"):
        # The upper eight bits, as Pillow does with 16-bit colour: exact for 8-bit images that were widened by
        # a factor of 257 or 256.
        values = np.asarray(image)
        bits = tags.get(Tag.BitsPerSample, (16,))[0]
        grey = (values >> (bits - 8)).astype(np.uint8)
        if "transparency" in image.info:
            grey[values == image.info["transparency"]] = 255
    else:
        whites = (255, 65535) if image.mode == "I" else (1, 255, 65535)
        grey = _scale_to_bytes(np.array(image, np.float32), whites)
    if tags and tags.get(Tag.PhotometricInterpretation, WHITE_IS_ZERO) == WHITE_IS_ZERO:
        grey = 255 - grey
    return Image.fromarray(grey)


def _scale_to_bytes(values: NDArray[np.float32], whites: tuple[int, ...]) -> Pixels:
    """Scale values of a format that does not define white, in place.

    White is the lowest of `whites` that no value exceeds, otherwise the highest value. Negative and
    non-finite values become black.
    """
    np.nan_to_num(values, copy=False, nan=0, posinf=0, neginf=0)
    peak = float(values.max())
    white = next((white for white in whites if peak <= white), peak)
    np.clip(values, 0, white, out=values)
    values *= 255 / white
    return np.rint(values, out=values).astype(np.uint8)


def _upright(image: Image.Image, original: ImageFile.ImageFile) -> Image.Image:
    """`image` rotated as the EXIF data of `original` says; Pillow rotates TIFFs itself."""
    if _ORIENTATION_KEYS.isdisjoint(original.info):
        return image
    transpose = None
    # Damaged metadata does not make the pixels invalid.
    with suppress(Exception):
        transpose = _TRANSPOSES.get(original.getexif().get(Tag.Orientation))
    return image if transpose is None else image.transpose(transpose)
