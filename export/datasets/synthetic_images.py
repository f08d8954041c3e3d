"""Draws synthetic digits, in the style of MNIST, and traffic signs.

They are published as golden inputs and example images in place of images of the data sets.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import cos, radians, sin, tan
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

SIDE: Final = 28

_BOX = 20  # MNIST fits its digits into the central 20x20 pixels
_SAMPLES = 8  # the supersampling factor
_BLUR_RADIUS = 0.45  # in pixels

_Point = tuple[float, float]
_Stroke = Sequence[_Point]
_Colour = tuple[int, int, int]

# The strokes of each digit in a square from (0, 0) at the top left to (1, 1). Corners are rounded, except at
# points that are repeated.
_STROKES: Final[Sequence[Sequence[_Stroke]]] = (
    [[(0.5, 0), (0.2, 0.05), (0.15, 0.5), (0.2, 0.95), (0.5, 1), (0.8, 0.95), (0.85, 0.5), (0.8, 0.05),
      (0.5, 0)]],
    [[(0.55, 0), (0.52, 0.5), (0.48, 1)]],
    [[(0.15, 0.25), (0.2, 0), (0.8, 0), (0.85, 0.4), (0.4, 0.75), (0.1, 1), (0.1, 1), (0.5, 0.95), (0.9, 1)]],
    [[(0.2, 0.08), (0.5, 0), (0.85, 0.1), (0.8, 0.4), (0.4, 0.47), (0.4, 0.47), (0.9, 0.55), (0.85, 0.95),
      (0.5, 1), (0.15, 0.9)]],
    [[(0.25, 0), (0.15, 0.5), (0.15, 0.5), (0.85, 0.48)], [(0.75, 0.05), (0.7, 0.5), (0.65, 1)]],
    [[(0.85, 0), (0.3, 0.02), (0.3, 0.02), (0.22, 0.45), (0.22, 0.45), (0.6, 0.35), (0.9, 0.6), (0.75, 1),
      (0.4, 1), (0.15, 0.9)]],
    [[(0.7, 0), (0.35, 0.2), (0.15, 0.65), (0.25, 1), (0.65, 1), (0.85, 0.75), (0.65, 0.5), (0.35, 0.55),
      (0.2, 0.75)]],
    [[(0.12, 0.08), (0.5, 0.04), (0.88, 0.02), (0.88, 0.02), (0.62, 0.45), (0.42, 1)]],
    [[(0.8, 0.1), (0.5, 0), (0.2, 0.08), (0.25, 0.4), (0.75, 0.6), (0.85, 0.9), (0.5, 1), (0.15, 0.9),
      (0.25, 0.6), (0.7, 0.4), (0.8, 0.1)]],
    [[(0.8, 0.2), (0.55, 0), (0.2, 0.1), (0.2, 0.42), (0.55, 0.48), (0.8, 0.2), (0.8, 0.2), (0.76, 0.6),
      (0.62, 1)]],
)  # fmt: skip


@dataclass(frozen=True)
class Handwriting:
    """A style of handwriting: pen `width` in pixels, `slant` and `turn` in degrees, relative `size`."""

    width: float = 2.2
    slant: float = 8.0
    turn: float = 0.0
    size: float = 1.0


PLAIN: Final = Handwriting()


def digit(value: int, style: Handwriting = PLAIN) -> NDArray[np.uint8]:
    """Draw a digit, uint8 [28, 28, 1]."""
    canvas = Image.new("L", (SIDE * _SAMPLES, SIDE * _SAMPLES))
    pen = ImageDraw.Draw(canvas)
    radius = style.width * _SAMPLES / 2
    for stroke in _STROKES[value]:
        points = [_to_canvas(point, style) for point in _rounded(stroke)]
        pen.line(points, fill=255, width=round(2 * radius), joint="curve")
        for x, y in points:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    smooth = canvas.filter(ImageFilter.GaussianBlur(_BLUR_RADIUS * _SAMPLES))
    return np.asarray(_centre_mass(smooth).resize((SIDE, SIDE), Image.Resampling.BOX))[..., np.newaxis]


def png(image: NDArray[np.uint8]) -> bytes:
    """Encode an image, uint8 [height, width, channels], as a greyscale or RGB PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(
        buffer, format="PNG", optimize=True
    )
    return buffer.getvalue()


def golden_digits(seed: int) -> NDArray[np.uint8]:
    """Draw all digits in two styles, then black, white and noise: uint8 [23, 28, 28, 1]."""
    random = np.random.default_rng(seed)
    images = [digit(value) for value in range(10)]
    for value in range(10):
        width, slant, turn, size = random.uniform((1.6, -10, -8, 0.85), (3.2, 20, 8, 1.05))
        images.append(digit(value, Handwriting(width, slant, turn, size)))
    shape = images[0].shape
    images.append(np.zeros(shape, np.uint8))
    images.append(np.full(shape, 255, np.uint8))
    images.append(random.integers(0, 256, shape, np.uint8))
    return np.stack(images)


def no_entry(side: int) -> NDArray[np.uint8]:
    """Draw a no-entry sign on a grey background, uint8 [side, side, 3]."""
    return sign((190, 20, 30), "disc", (235, 235, 235), "bar", (120, 125, 130), side)


def golden_signs(seed: int, side: int) -> NDArray[np.uint8]:
    """Draw 20 signs of various shapes, then black, white and noise: uint8 [23, side, side, 3]."""
    random = np.random.default_rng(seed)
    colours = [(190, 20, 30), (20, 70, 160), (240, 200, 30), (235, 235, 235), (30, 30, 30)]
    images = [no_entry(side)]
    for shape in ("disc", "triangle", "diamond", "octagon"):
        for mark in ("none", "bar", "dot", "pole", "rim"):
            board, ink = random.choice(len(colours), 2, replace=False)
            background: list[int] = random.integers(20, 220, 3).tolist()
            images.append(sign(colours[board], shape, colours[ink], mark, tuple(background), side))
    images = images[:20]
    images.append(np.zeros((side, side, 3), np.uint8))
    images.append(np.full((side, side, 3), 255, np.uint8))
    images.append(random.integers(0, 256, (side, side, 3), np.uint8))
    return np.stack(images)


_SHAPES: Final[Mapping[str, Sequence[_Point]]] = {
    "triangle": [(0.5, 0.08), (0.95, 0.86), (0.05, 0.86)],
    "diamond": [(0.5, 0.04), (0.96, 0.5), (0.5, 0.96), (0.04, 0.5)],
    "octagon": [(0.32, 0.06), (0.68, 0.06), (0.94, 0.32), (0.94, 0.68), (0.68, 0.94), (0.32, 0.94),
                (0.06, 0.68), (0.06, 0.32)],
}  # fmt: skip
_DISC: Final = (0.08, 0.08, 0.92, 0.92)
_MARKS: Final[Mapping[str, tuple[float, float, float, float]]] = {
    "bar": (0.2, 0.42, 0.8, 0.58),
    "pole": (0.43, 0.3, 0.57, 0.75),
    "dot": (0.38, 0.45, 0.62, 0.69),
    "rim": (0.25, 0.3, 0.75, 0.8),
}


def sign(
    colour: _Colour, shape: str, ink: _Colour, mark: str, background: tuple[int, ...], side: int
) -> NDArray[np.uint8]:
    """Draw a sign, uint8 [side, side, 3].

    Args:
        colour: the colour of the board.
        shape: "disc", "triangle", "diamond" or "octagon".
        ink: the colour of the mark.
        mark: "none", "bar", "pole", "dot" or "rim".
        background: the colour behind the sign.
        side: height and width in pixels.
    """
    large = side * _SAMPLES
    canvas = Image.new("RGB", (large, large), (background[0], background[1], background[2]))
    pen = ImageDraw.Draw(canvas)
    if shape == "disc":
        pen.ellipse([value * large for value in _DISC], fill=colour)
    else:
        pen.polygon([(x * large, y * large) for x, y in _SHAPES[shape]], fill=colour)
    if mark in ("dot", "rim"):
        pen.ellipse([value * large for value in _MARKS[mark]], fill=ink)
    elif mark != "none":
        pen.rectangle([value * large for value in _MARKS[mark]], fill=ink)
    return np.asarray(canvas.resize((side, side), Image.Resampling.BOX))


def _rounded(stroke: _Stroke) -> Sequence[_Point]:
    """Round the corners (G. Chaikin, An algorithm for high-speed curve generation, 1974)."""
    for _ in range(4):
        cut = [
            (p[0] + (q[0] - p[0]) * part, p[1] + (q[1] - p[1]) * part)
            for p, q in pairwise(stroke)
            for part in (0.25, 0.75)
        ]
        stroke = [stroke[0], *cut, stroke[-1]]
    return stroke


def _to_canvas(point: _Point, style: Handwriting) -> _Point:
    """Map a point of the unit square to the canvas."""
    x, y = (point[0] - 0.5) * 0.8, point[1] - 0.5
    x -= y * tan(radians(style.slant))
    turn = radians(style.turn)
    x, y = x * cos(turn) - y * sin(turn), x * sin(turn) + y * cos(turn)
    scale = (_BOX - style.width) * style.size * _SAMPLES
    return x * scale + SIDE * _SAMPLES / 2, y * scale + SIDE * _SAMPLES / 2


def _centre_mass(canvas: Image.Image) -> Image.Image:
    mass = np.asarray(canvas, dtype=np.float64)
    y, x = (np.indices(mass.shape) * mass).sum(axis=(1, 2)) / mass.sum()
    middle = (SIDE * _SAMPLES - 1) / 2
    return canvas.transform(canvas.size, Image.Transform.AFFINE, (1, 0, x - middle, 0, 1, y - middle))
