"""Decodes an image file to the pixels that the server gives to the model.

`tests/contract/test_images.py` compares both bit for bit, on images in every mode of every format.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.ExifTags import Base as Tag
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from . import float_colours, netpbm
from .flatten import flattened, is_flat, scale_key_colour
from .geometry import Size, draft_size, plan_of, resized
from .ink.glyph import draw_glyph
from .polarity import is_light, padded

_FORMATS: Final = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
_NETPBM: Final = re.compile(rb"P[1-6][\s#]")
# A larger image is rotated after it is resized.
_LARGE_PIXELS: Final = 1 << 17
# libtiff returns numbers in the machine's byte order, but Pillow expects that of the file.
_NATIVE: Final[Mapping[str, str]] = MappingProxyType({"F;32BF": "F;32NF", "I;32BS": "I;32NS"})
# By EXIF orientation: the rotation that makes the stored image upright.
_TRANSPOSES: Final[Mapping[object, Image.Transpose]] = MappingProxyType(
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

_TURNED: Final = frozenset({5, 6, 7, 8})


def decode(content: bytes, size: Size) -> NDArray[np.uint8]:
    """Decode an image file to uint8, [height, width, channels].

    Raises:
        Exception: the content is no image, or damaged; Pillow's plugins raise many types.
    """
    source, image, orientation = _load(content, size)
    transpose = _TRANSPOSES.get(orientation)
    plain = flattened(image, source, size.channels)
    if image.width * image.height > _LARGE_PIXELS:
        plan = plan_of(plain.size, size, turned=orientation in _TURNED)
        plain = resized(plain, plan, reduce_first=not is_flat(image, size.channels))
        if transpose is not None:
            plain = plain.transpose(transpose)
    elif transpose is not None:
        plain = plain.transpose(transpose)
    return prepared(plain, size)


def prepared(image: Image.Image, size: Size) -> NDArray[np.uint8]:
    """Return what the model sees of an upright image in mode L or RGB, [height, width, channels]."""
    target = size.width, size.height
    if size.resize == "ink" and image.size != target:
        glyph = draw_glyph(image, target)
        if glyph is not None:
            strokes = glyph if size.polarity == "light-on-dark" else 255 - glyph
            return strokes[..., np.newaxis].repeat(size.channels, axis=-1)
    rule = replace(size, resize="fit") if size.resize == "ink" else size
    plain = resized(image, plan_of(image.size, rule))
    pixels = np.asarray(plain).reshape(plain.height, plain.width, size.channels)
    if plain.size != target:
        pixels = padded(pixels, size.height, size.width)
    if size.polarity and is_light(pixels) == (size.polarity == "light-on-dark"):
        pixels = 255 - pixels
    return pixels


def _load(content: bytes, size: Size) -> tuple[Image.Image, Image.Image, int]:
    """Return what Pillow opened, the decoded image, and the orientation that it still has."""
    if _NETPBM.match(content):
        image = Image.fromarray(netpbm.read_pixels(content, netpbm.read_header(content)))
        return image, image, 1
    if content[:2] in (b"II", b"MM") and (colours := float_colours.read_float_colours(content)) is not None:
        grey = _opened(colours.grey, size)
        grey.load()
        values = np.asarray(grey)
        image = Image.fromarray(float_colours.to_rgb(lambda top, bottom: values[top:bottom], colours))
        return image, image, colours.orientation
    source = _opened(content, size)
    source.load()
    return source, source, 1 if isinstance(source, TiffImageFile) else _orientation(source)


def _opened(content: bytes, size: Size) -> ImageFile.ImageFile:
    image = Image.open(io.BytesIO(content), formats=_FORMATS)
    assert isinstance(image, ImageFile.ImageFile)
    if isinstance(image, JpegImageFile):
        image.draft(None, draft_size(image.size, size))
        if image.mode == "CMYK" and "adobe" not in image.info:
            # Only Adobe's programs, which leave their marker, store the four inks inverted.
            image.tile = [tile._replace(args=("CMYK", "")) for tile in image.tile]
    elif isinstance(image, TiffImageFile):
        image.tile = [_in_native_order(tile) for tile in image.tile]
    else:
        scale_key_colour(image)
    return image


def _in_native_order(tile: ImageFile._Tile) -> ImageFile._Tile:
    if tile.codec_name != "libtiff" or not isinstance(tile.args, tuple):
        return tile
    return tile._replace(args=(_NATIVE.get(tile.args[0], tile.args[0]), *tile.args[1:]))


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation; 1 if there is none, or the metadata is damaged."""
    try:
        return int(image.getexif().get(Tag.Orientation, 1))
    except Exception:  # Pillow raises many types
        return 1
