"""Converts decoded images of any mode to eight bits without transparency, by the rules of the server."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ExifTags import Base as Tag
from PIL.TiffImagePlugin import TiffImageFile

_WHITE_IS_ZERO: Final = 0  # the default of the tag PhotometricInterpretation


def mode_of(channels: int) -> str:
    return "L" if channels == 1 else "RGB"


def is_flat(image: Image.Image, channels: int) -> bool:
    """True if the image needs no conversion."""
    return image.mode == mode_of(channels) and not image.has_transparency_data


def flattened(image: Image.Image, source: Image.Image, channels: int) -> Image.Image:
    """An image, read from `source`, in mode L or RGB, with transparent pixels on white."""
    if is_flat(image, channels):
        return image
    if image.mode.startswith("I;16"):
        plain = Image.fromarray(_upper_bits(image, source))
    elif image.mode in ("I", "F"):
        plain = Image.fromarray(_scaled(image, source))
    elif _is_opaque(image, source):
        plain = image.convert("L" if image.mode in ("1", "L") else "RGB")
    else:
        layer = image.convert("LA") if image.mode == "La" else image
        layer = layer.convert("RGBA")
        plain = Image.new("RGB", layer.size, (255, 255, 255))
        plain.paste(layer, mask=layer)
    return plain.convert(mode_of(channels))


def scale_key_colour(image: ImageFile.ImageFile) -> None:
    """Scale the transparent colour of a PNG as Pillow scales its pixels, before they are decoded."""
    key = image.info.get("transparency")
    arguments = image.tile[0].args if image.tile else None
    if key is None:
        return
    if arguments == "L;2":
        image.info["transparency"] = (key & 3) * 85
    elif arguments == "L;4":
        image.info["transparency"] = (key & 15) * 17
    elif arguments == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in key)


def _is_opaque(image: Image.Image, source: Image.Image) -> bool:
    # A BMP of which no pixel has an alpha comes from a program that knows none.
    if isinstance(source, BmpImageFile) and image.mode == "RGBA" and image.getchannel("A").getbbox() is None:
        return True
    return not image.has_transparency_data


def _inverted(source: Image.Image) -> bool:
    if not isinstance(source, TiffImageFile):
        return False
    return bool(source.tag_v2.get(Tag.PhotometricInterpretation, _WHITE_IS_ZERO) == _WHITE_IS_ZERO)


def _upper_bits(image: Image.Image, source: Image.Image) -> NDArray[np.uint8]:
    tags = source.tag_v2 if isinstance(source, TiffImageFile) else {}
    values = np.asarray(image)
    grey: NDArray[np.uint8] = (values >> (tags.get(Tag.BitsPerSample, (16,))[0] - 8)).astype(np.uint8)
    key = image.info.get("transparency")
    if key is not None:
        grey[values == key] = 255
    return 255 - grey if _inverted(source) else grey


def _scaled(image: Image.Image, source: Image.Image) -> NDArray[np.uint8]:
    # White is the lowest of these that no value exceeds, otherwise the highest value.
    values = np.nan_to_num(np.array(image, np.float32), nan=0, posinf=0, neginf=0)
    peak = float(values.max())
    whites = (255, 65535) if image.mode == "I" else (1, 255, 65535)
    white = next((white for white in whites if peak <= white), peak)
    shares = np.clip(values, 0, white) * np.float32(255 / white)
    grey: NDArray[np.uint8] = np.rint(shares).astype(np.uint8)
    return 255 - grey if _inverted(source) else grey
