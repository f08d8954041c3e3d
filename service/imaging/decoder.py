"""The bytes of an encoded picture → one array of the model's input. Only this and `sizing.py` import PIL.

Only the plugins named here are ever loaded, and they are called by themselves rather than through
`Image.open`, which reports oversized pictures through the process-wide `warnings` and a process-wide limit
before anybody could read the size.
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
from .decompression_guards import Source, recognise, refuse_bombs, refuse_size
from .polarity import Pixels, is_light
from .resize import draft, sized

# How often a file may be read: for its header, which one may want to know at once, and for the rest of it.
HEADER_READS = 10_000
BODY_READS = 200_000


class _FirstFrame(GifImageFile):
    """A GIF whose first frame is never followed: Pillow would make ready for that as it opens the file,
    filling as many pixels as the header asks for.
    """

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

WHITE_IS_ZERO = 0  # of the photometric interpretations, and the one where none is named

# By EXIF orientation: how the stored picture is turned to stand upright.
_TURNS: Mapping[object, Image.Transpose] = MappingProxyType(
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
# Where Pillow keeps what may hold an orientation; reading it costs more than decoding a small picture.
_TURNING_KEYS = frozenset({"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"})

# A reason worth repeating to the caller: words, not the representation of some object or path.
_PLAIN = re.compile(r"[A-Za-z][\w ,.:;()'-]{2,99}", re.ASCII)


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """An opened, not yet decoded picture: what its header says. It is decoded once."""

    form: str
    pixels: int
    image: ImageFile.ImageFile


class Decoder:
    """Makes pictures into the input that `spec` describes. Immutable; any number of threads may share one."""

    def __init__(self, spec: InputSpec, *, max_pixels: int) -> None:
        self._spec = spec
        self._max_pixels = max_pixels
        self._scale = None if spec.scale is None else np.float32(spec.scale)
        channelwise = (-1,) if spec.layout == "NHWC" else (-1, 1, 1)
        self._mean = None if spec.mean is None else np.array(spec.mean, np.float32).reshape(channelwise)
        self._std = None if spec.std is None else np.array(spec.std, np.float32).reshape(channelwise)

    def empty(self, count: int) -> Pixels | NDArray[np.float32]:
        """An array for so many decoded pictures of a size that is not free."""
        return np.empty((count, *self._spec.shape), self._spec.dtype)

    def open(self, data: bytes) -> OpenedImage:
        """Read the header only. Raises InvalidImage if there is none, or one of more than `max_pixels`."""
        form = recognise(data)
        try:
            refuse_bombs(form, data, self._max_pixels)
            # So few bytes cannot be read too often, and a plain buffer is quicker.
            small = len(data) <= HEADER_READS
            source = io.BytesIO(data) if small else Source(data, reads=HEADER_READS)
            image = _PLUGINS[form](source)
        except InvalidImage:
            raise
        except Exception as error:  # see decode
            raise self._refusal(form, error) from error
        refuse_size(*image.size, self._max_pixels)
        if isinstance(source, Source):
            source.reads = BODY_READS
        return OpenedImage(form, image.width * image.height, image)

    def decode(self, picture: OpenedImage) -> Pixels | NDArray[np.float32]:
        """The picture as a C-contiguous array of `spec.shape` and `spec.dtype`, which may be read-only.

        Raises InvalidImage. The picture is not closed, which would only take time: it holds nothing but
        memory and goes with its last reference.
        """
        try:
            draft(picture.image, self._spec)
            image = _upright(_opaque(picture.image), picture.image)
            image = _coloured(image, self._spec.channels)
        except Exception as error:
            # Pillow lets a dozen kinds of exception out on hostile bytes, and each plugin its own. This
            # is the one place that knows that whatever it was, the picture is to blame.
            raise self._refusal(picture.form, error) from error
        pixels = sized(image, self._spec)
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

    def _refusal(self, form: str, error: Exception) -> InvalidImage:
        if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
            return InvalidImage(f"the picture has too many pixels; at most {self._max_pixels:,} are decoded")
        reason = str(error).replace(
            "not identified by this driver", "it has no header that says what it shows"
        )
        told = isinstance(error, OSError | SyntaxError | ValueError) and _PLAIN.fullmatch(reason)
        return InvalidImage(f"the {form} is truncated or corrupt" + (f": {reason}" if told else ""))


def _opaque(image: ImageFile.ImageFile) -> Image.Image:
    """`image` decoded, as "L" or "RGB" of eight bits, with what is transparent laid over white."""
    if "transparency" in image.info:
        _mend_key_colour(image)
    image.load()
    if image.mode.startswith(("I", "F")):
        return _eight_bits(image)
    if image.has_transparency_data:
        plain = image.convert("LA") if image.mode == "La" else image
        layer = plain if plain.mode == "RGBA" else plain.convert("RGBA")
        paper = Image.new("RGB", layer.size, (255, 255, 255))
        paper.paste(layer, mask=layer)
        return paper
    return _coloured(image, 1 if image.mode in ("1", "L") else 3)


def _coloured(image: Image.Image, channels: int) -> Image.Image:
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _mend_key_colour(image: ImageFile.ImageFile) -> None:
    # Pillow brings the pixels of these PNGs to eight bits, but not the colour that is to be transparent.
    key = image.info["transparency"]
    match image.tile[0].args:
        case "L;2":
            image.info["transparency"] = (key & 3) * 85
        case "L;4":
            image.info["transparency"] = (key & 15) * 17
        case "RGB;16B":
            image.info["transparency"] = tuple(value >> 8 for value in key)


def _eight_bits(image: ImageFile.ImageFile) -> Image.Image:
    """A picture of one channel of more than eight bits, which Pillow would clip, as "L"."""
    tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    if image.mode.startswith("I;16"):
        # The upper eight of the bits, as Pillow does with 16-bit colour: exact for 8-bit pictures that were
        # widened, whether by 257 or by 256.
        values = np.asarray(image)
        bits = tags.get(Tag.BitsPerSample, (16,))[0]
        grey = (values >> (bits - 8)).astype(np.uint8)
        if "transparency" in image.info:
            grey[values == image.info["transparency"]] = 255
    else:
        whites = (255, 65535) if image.mode == "I" else (1, 255, 65535)
        grey = _from_open_scale(np.array(image, np.float32), whites)
    if tags and tags.get(Tag.PhotometricInterpretation, WHITE_IS_ZERO) == WHITE_IS_ZERO:
        grey = 255 - grey
    return Image.fromarray(grey)


def _from_open_scale(values: NDArray[np.float32], whites: tuple[int, ...]) -> Pixels:
    """Pixels whose format does not say what white is: the least of `whites` that none of them exceeds, or
    else the brightest. Black is 0, and so is what lies below it and what is not finite. Works in place.
    """
    np.nan_to_num(values, copy=False, nan=0, posinf=0, neginf=0)
    peak = float(values.max())
    white = next((white for white in whites if peak <= white), peak)
    np.clip(values, 0, white, out=values)
    values *= 255 / white
    return np.rint(values, out=values).astype(np.uint8)


def _upright(image: Image.Image, original: ImageFile.ImageFile) -> Image.Image:
    """`image` turned as the EXIF data of `original` asks; TIFFs Pillow has turned already."""
    if _TURNING_KEYS.isdisjoint(original.info):
        return image
    turn = None
    # The pixels are good whatever the metadata looks like.
    with suppress(Exception):
        turn = _TURNS.get(original.getexif().get(Tag.Orientation))
    return image if turn is None else image.transpose(turn)
