"""Pillow's plugins, and own ones for images that Pillow cannot read or reads slowly."""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Callable, Mapping
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

from ..libtiff import silence_libtiff
from ..orientation import read_orientation
from . import float_colours, netpbm

# libtiff returns numbers in the machine's byte order, but Pillow expects that of the file.
_NATIVE: Mapping[str, str] = MappingProxyType({"F;32BF": "F;32NF", "I;32BS": "I;32NS"})


class FirstFrame(GifImageFile):
    """A GIF of one frame; for a second one Pillow would allocate all pixels as it opens the file."""

    @property
    def disposal_method(self) -> int:
        return 0

    @disposal_method.setter
    def disposal_method(self, method: int) -> None:
        pass


class JpegWithoutExif(JpegImageFile):
    """A JPEG whose EXIF data Pillow does not read, as it would for the resolution: it may be expensive."""

    def _open(self) -> None:
        super()._open()
        if self.mode == "CMYK" and "adobe" not in self.info:
            # Only Adobe's programs, which leave their marker, store the four inks inverted.
            self.tile = [tile._replace(args=("CMYK", "")) for tile in self.tile]

    def getexif(self) -> Image.Exif:
        return Image.Exif()


class TiffWithoutExif(TiffImageFile):
    """A TIFF of whose metadata Pillow reads only the orientation; it rotates the image as it loads it."""

    def _setup(self) -> None:
        super()._setup()
        if self.use_load_libtiff:
            self.tile = [_in_native_order(tile) for tile in self.tile]

    def load_prepare(self) -> None:
        silence_libtiff()  # in each process that decodes TIFFs
        super().load_prepare()

    def getexif(self) -> Image.Exif:
        exif = Image.Exif()
        orientation = self.tag_v2.get(Tag.Orientation) or read_orientation(self.info)
        if orientation is not None:
            exif[Tag.Orientation] = orientation
        return exif


def _in_native_order(tile: ImageFile._Tile) -> ImageFile._Tile:
    if not isinstance(tile.args, tuple):
        return tile
    return tile._replace(args=(_NATIVE.get(tile.args[0], tile.args[0]), *tile.args[1:]))


class OwnFile(ImageFile.ImageFile):
    """An image that this project decodes.

    Attributes:
        orientation: the EXIF orientation of its pixels.
    """

    orientation = 1

    @abstractmethod
    def pixels(self) -> Image.Image:
        """Decode the image; it can be called once."""


class NetpbmFile(OwnFile):
    """A PBM, PGM or PPM."""

    format = "PNM"

    def _open(self) -> None:
        assert self.fp is not None
        self._data = self.fp.read()
        self._header = netpbm.read_header(self._data)
        self._size = self._header.width, self._header.height
        self._mode = "L" if self._header.channels == 1 else "RGB"

    def pixels(self) -> Image.Image:
        return Image.fromarray(netpbm.read_pixels(self._data, self._header))


class FloatColoursFile(OwnFile):
    """A TIFF of floating-point colours."""

    format = "TIFF"

    def __init__(self, colours: float_colours.FloatColours) -> None:
        self._colours = colours
        self._grey = TiffWithoutExif(io.BytesIO(colours.grey))
        self.orientation = colours.orientation
        super().__init__(io.BytesIO())

    def _open(self) -> None:
        self._size = self._colours.width, self._colours.height
        self._mode = "RGB"

    def pixels(self) -> Image.Image:
        self._grey.load()
        return Image.fromarray(float_colours.to_rgb(self._rows, self._colours))

    def _rows(self, top: int, bottom: int) -> NDArray[np.float32]:
        return np.asarray(self._grey.crop((0, top, self._grey.width, bottom)))


def _open_tiff(source: io.BytesIO) -> ImageFile.ImageFile:
    colours = float_colours.read_float_colours(source.getvalue())
    return TiffWithoutExif(source) if colours is None else FloatColoursFile(colours)


PLUGINS: Mapping[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = MappingProxyType(
    {
        "PNG": PngImageFile,
        "JPEG": JpegWithoutExif,
        "WebP": WebPImageFile,
        "BMP": BmpImageFile,
        "GIF": FirstFrame,
        "TIFF": _open_tiff,
        "PNM": NetpbmFile,
    }
)
