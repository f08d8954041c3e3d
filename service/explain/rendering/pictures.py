"""Draws explanations and feature maps as PNG files."""

from __future__ import annotations

import math
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..request import Explanation, Map
from .palette import Pixels, diverging, rising

# Sides of the drawn picture: small ones are enlarged by a whole number.
TARGET_SIDE: Final = 448
MAX_SHEET_SIDE: Final = 2048
# How much of a pixel the map covers where the evidence is strongest, and where there is none.
MOST_COVER: Final = 0.85
LEAST_COVER: Final = 0.15
GAP: Final = 2
_GAP_GREY: Final = 128


def draw_explanation(explanation: Explanation) -> bytes:
    """The picture as the network receives it, under its map: orange for the label, blue against it."""
    picture = _grey(explanation.picture)
    scale = max(1, TARGET_SIDE // max(picture.shape))
    overview = explanation.overview
    strongest = float(np.abs(overview).max())
    values = overview / strongest if strongest > 0 else np.zeros_like(overview)
    values = _enlarged_smoothly(values, scale)
    ground = _enlarged(picture, scale)[..., np.newaxis].astype(np.float64)
    cover = (LEAST_COVER + (MOST_COVER - LEAST_COVER) * np.abs(values))[..., np.newaxis]
    mixed = ground * (1 - cover) + diverging(values) * cover
    return encode_png(np.rint(mixed).astype(np.uint8))


def draw_picture(picture: Pixels) -> bytes:
    """A picture `(height, width, channels)` in its own size."""
    return encode_png(picture[..., 0] if picture.shape[-1] == 1 else picture)


def draw_maps(maps: NDArray[np.float32]) -> bytes:
    """A sheet of maps `(count, height, width)` or of units `(count,)`, each in its own range.

    Maps without negative values rise from dark to bright. Others are blue where negative, and orange where
    positive.
    """
    if maps.ndim == 1:
        maps = maps.reshape(1, 1, -1)
    count, height, width = maps.shape
    columns = math.ceil(math.sqrt(count * height / width)) if count > 1 else 1
    rows = math.ceil(count / columns)
    largest = max(rows * (height + GAP), columns * (width + GAP))
    step = math.ceil(largest / MAX_SHEET_SIDE)  # of a sheet that would be too large, every other pixel
    scale = max(1, min(TARGET_SIDE // max(height, width), MAX_SHEET_SIDE // largest))
    drawn = [_enlarged(_coloured(each[::step, ::step].astype(np.float64)), scale) for each in maps]
    high, wide = drawn[0].shape[:2]
    sheet = np.full((rows * (high + GAP) - GAP, columns * (wide + GAP) - GAP, 3), _GAP_GREY, np.uint8)
    for number, each in enumerate(drawn):
        top, left = (number // columns) * (high + GAP), (number % columns) * (wide + GAP)
        sheet[top : top + high, left : left + wide] = each
    return encode_png(sheet)


def encode_png(pixels: Pixels) -> bytes:
    """Grey or RGB pixels as a PNG without metadata; equal pixels give equal bytes."""
    target = BytesIO()
    Image.fromarray(pixels).save(target, "PNG")
    return target.getvalue()


def _coloured(values: Map) -> Pixels:
    strongest = float(np.abs(values).max()) or 1.0
    return diverging(values / strongest) if values.min() < 0 else rising(values / strongest)


def _grey(picture: Pixels) -> Pixels:
    """The lightness of a picture: colours are those of the map."""
    if picture.shape[-1] == 1:
        return picture[..., 0]
    grey: Pixels = np.rint(picture @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    return grey


def _enlarged(pixels: Pixels, scale: int) -> Pixels:
    return pixels.repeat(scale, axis=0).repeat(scale, axis=1)


def _enlarged_smoothly(values: Map, scale: int) -> Map:
    height, width = values.shape
    image = Image.fromarray(values.astype(np.float32))
    larger = image.resize((width * scale, height * scale), Image.Resampling.BILINEAR)
    return np.asarray(larger, np.float64)
