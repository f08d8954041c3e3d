"""Converts decoded images of any mode to eight bits without transparency, large ones part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ExifTags import Base as Tag
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from .formats.plugins import OwnFile
from .polarity import Pixels
from .resize import ResizePlan, resize

WHITE_IS_ZERO = 0  # the default of the tag PhotometricInterpretation

# A larger image is converted in parts of about this many pixels, so that no second copy of it is made.
PART_PIXELS = 1 << 17
# The most that the conversion of a part needs: a copy of it, a canvas, and arrays of 32 bits.
PART_PIXEL_BYTES = 28

Flatten = Callable[[Image.Image], Image.Image]


def load(image: ImageFile.ImageFile) -> Image.Image:
    """Decode the image; returns what holds its pixels."""
    if isinstance(image, WebPImageFile):
        return _webp_frame(image)
    if isinstance(image, OwnFile):
        return image.pixels()
    if "transparency" in image.info:
        _scale_key_colour(image)
    image.load()
    return image


def _webp_frame(image: WebPImageFile) -> Image.Image:
    """The first frame. Pillow would keep the canvases of the decoder and copy the pixels once more."""
    frame = image._decoder.get_next()
    image._decoder = None
    if frame is None:
        raise OSError
    return Image.frombuffer(image.rawmode, image.size, frame[0], "raw", image.rawmode, 0, 1)


def flatten(pixels: Image.Image, source: ImageFile.ImageFile, channels: int) -> Image.Image:
    """A loaded image in mode L or RGB, with transparent pixels on white."""
    if _is_flat(pixels, channels):
        return pixels
    return with_channels(_flatten_of(pixels, source)(pixels), channels)


def flatten_and_resize(
    pixels: Image.Image, source: ImageFile.ImageFile, channels: int, plan: ResizePlan
) -> Image.Image:
    """The same for a large image, and resized; at no time is there a second copy of its pixels."""
    if _is_flat(pixels, channels):
        return resize(pixels, plan)
    convert = _flatten_of(pixels, source)
    across, down = plan.factor
    reduced = Image.new(mode_of(channels), (-(-pixels.width // across), -(-pixels.height // down)))
    for left, top, part in _parts(pixels, plan.factor):
        plain = with_channels(convert(part), channels)
        if across > 1 or down > 1:
            plain = plain.reduce(plan.factor)
        reduced.paste(plain, (left // across, top // down))
    return resize(reduced, plan, reduced=True)


def part_size(width: int, factor: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the parts in which an image is converted, multiples of `factor`."""
    across, down = factor
    rows = max(1, PART_PIXELS // (width * down)) * down
    if width * rows <= PART_PIXELS:
        return width, rows
    return max(1, PART_PIXELS // (across * down)) * across, rows


def mode_of(channels: int) -> str:
    return "L" if channels == 1 else "RGB"


def _is_flat(image: Image.Image, channels: int) -> bool:
    return image.mode == ("L" if channels == 1 else "RGB") and not image.has_transparency_data


def with_channels(image: Image.Image, channels: int) -> Image.Image:
    mode = mode_of(channels)
    return image if image.mode == mode else image.convert(mode)


def _parts(image: Image.Image, factor: tuple[int, int] = (1, 1)) -> Iterator[tuple[int, int, Image.Image]]:
    """The parts of an image, each with its left and its top."""
    columns, rows = part_size(image.width, factor)
    for top in range(0, image.height, rows):
        bottom = min(image.height, top + rows)
        for left in range(0, image.width, columns):
            yield left, top, image.crop((left, top, min(image.width, left + columns), bottom))


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


def _flatten_of(image: Image.Image, source: ImageFile.ImageFile) -> Flatten:
    """A function that converts parts of an image, read from `source`, to mode L or RGB."""
    if not image.mode.startswith(("I", "F")):
        if isinstance(source, BmpImageFile) and image.mode == "RGBA" and _alpha_is_empty(image):
            return _plain
        return _opaque if image.has_transparency_data else _plain
    tags = source.tag_v2 if isinstance(source, TiffImageFile) else {}
    inverted = bool(tags) and tags.get(Tag.PhotometricInterpretation, WHITE_IS_ZERO) == WHITE_IS_ZERO
    if image.mode.startswith("I;16"):
        bits = tags.get(Tag.BitsPerSample, (16,))[0]
        return partial(_upper_bits, shift=bits - 8, key=image.info.get("transparency"), inverted=inverted)
    peak = max(float(_finite(part).max()) for _, _, part in _parts(image))
    # White is the lowest of these that no value exceeds, otherwise the highest value.
    whites = (255, 65535) if image.mode == "I" else (1, 255, 65535)
    white = next((white for white in whites if peak <= white), peak)
    return partial(_scaled, white=white, inverted=inverted)


def _alpha_is_empty(image: Image.Image) -> bool:
    # Programs that know no alpha leave these bytes 0, and browsers show such a BMP.
    return all(part.getchannel("A").getbbox() is None for _, _, part in _parts(image))


def _plain(part: Image.Image) -> Image.Image:
    return with_channels(part, 1 if part.mode in ("1", "L") else 3)


def _opaque(part: Image.Image) -> Image.Image:
    plain = part.convert("LA") if part.mode == "La" else part
    layer = plain if plain.mode == "RGBA" else plain.convert("RGBA")
    canvas = Image.new("RGB", layer.size, (255, 255, 255))
    canvas.paste(layer, mask=layer)
    return canvas


def _upper_bits(part: Image.Image, *, shift: int, key: int | None, inverted: bool) -> Image.Image:
    # The upper eight bits, as Pillow does with 16-bit colour: exact for 8-bit images that were widened by a
    # factor of 257 or 256.
    values = np.asarray(part)
    grey = (values >> shift).astype(np.uint8)
    if key is not None:
        grey[values == key] = 255
    return Image.fromarray(255 - grey if inverted else grey)


def _scaled(part: Image.Image, *, white: float, inverted: bool) -> Image.Image:
    # The format does not define white. Negative and non-finite values become black.
    values = _finite(part)
    np.clip(values, 0, white, out=values)
    values *= 255 / white
    grey: Pixels = np.rint(values, out=values).astype(np.uint8)
    return Image.fromarray(255 - grey if inverted else grey)


def _finite(part: Image.Image) -> NDArray[np.float32]:
    values = np.array(part, np.float32)
    return np.nan_to_num(values, copy=False, nan=0, posinf=0, neginf=0)
