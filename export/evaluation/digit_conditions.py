"""Draws handwritten digits as people bring them: on sheets of paper, in bad light, with other pens.

Each condition turns a digit of MNIST's form, light on dark and 28x28, into a grey picture. All draws come
from a generator that the caller seeds, so a table of accuracies can be repeated.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

Picture = NDArray[np.uint8]
Condition = Callable[[Picture, np.random.Generator], Picture]

SHEET: Final = (200, 150)  # width and height
SIDE: Final = 280

_PAPER, _INK = 255, 0


def _fills(digit: Picture, draw: np.random.Generator) -> Picture:
    return _on_paper(_enlarged(digit, SIDE))


def _on_sheet(share: float) -> Condition:
    """A sheet with the digit somewhere on it; `share` is the height of the digit's box."""

    def condition(digit: Picture, draw: np.random.Generator) -> Picture:
        return _on_paper(_placed(digit, share, draw))

    return condition


def _in_light(paper: int, ink: int, share: float = 0.4) -> Condition:
    def condition(digit: Picture, draw: np.random.Generator) -> Picture:
        return _on_paper(_placed(digit, share, draw), paper, ink)

    return condition


def _filling_in_light(paper: int, ink: int) -> Condition:
    def condition(digit: Picture, draw: np.random.Generator) -> Picture:
        return _on_paper(_enlarged(digit, SIDE), paper, ink)

    return condition


def _inverted(digit: Picture, draw: np.random.Generator) -> Picture:
    return _on_paper(_placed(digit, 0.4, draw), 30, 225)


def _shadow(digit: Picture, draw: np.random.Generator) -> Picture:
    """The light falls from full to a third across the sheet, in any direction, with a soft edge."""
    picture = _on_paper(_placed(digit, 0.4, draw), 240, 20).astype(np.float32)
    height, width = picture.shape
    angle = draw.uniform(0, 2 * np.pi)
    across, down = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    along = across * np.cos(angle) + down * np.sin(angle)
    light = 0.34 + 0.66 / (1 + np.exp(-4 * (along - draw.uniform(-0.4, 0.4))))
    return _as_bytes(picture * light)


def _lined(digit: Picture, draw: np.random.Generator) -> Picture:
    return _ruled(digit, draw, columns=False)


def _squared(digit: Picture, draw: np.random.Generator) -> Picture:
    return _ruled(digit, draw, columns=True)


def _ruled(digit: Picture, draw: np.random.Generator, *, columns: bool) -> Picture:
    picture = _on_paper(_placed(digit, 0.4, draw), 250, 25)
    distance, start = 16, int(draw.integers(16))
    lines = np.full(picture.shape, 255, np.uint8)
    lines[start::distance] = 195
    if columns:
        lines[:, int(draw.integers(16)) :: distance] = 195
    return np.minimum(picture, lines)


def _rotated(digit: Picture, draw: np.random.Generator) -> Picture:
    """The sheet lies at an angle on a darker table that shows in the corners."""
    sheet = Image.fromarray(_on_paper(_placed(digit, 0.4, draw, margin=25), 245, 25))
    turned = sheet.rotate(draw.uniform(-15, 15), Image.Resampling.BICUBIC, expand=True, fillcolor=120)
    width, height = turned.size
    left, top = (width - SHEET[0]) // 2, (height - SHEET[1]) // 2
    return np.asarray(turned.crop((left, top, left + SHEET[0], top + SHEET[1])))


def _pen(width: int) -> Condition:
    """All strokes as wide as a pen of `width` pixels draws them on a digit of 80 pixels."""

    def condition(digit: Picture, draw: np.random.Generator) -> Picture:
        drawn = _skeleton(Image.fromarray(_enlarged(digit, 112))).filter(ImageFilter.MaxFilter(width))
        soft = np.asarray(drawn.filter(ImageFilter.GaussianBlur(0.6)))
        return _on_paper(_placed(soft, 0.4, draw))

    return condition


def _skeleton(image: Image.Image) -> Image.Image:
    """The middle lines of the strokes: what each erosion leaves and an opening removes."""
    smooth = image.filter(ImageFilter.GaussianBlur(2))
    eroded = smooth.point(lambda value: 255 if value > 127 else 0)
    lines = Image.new("L", image.size)
    while eroded.getbbox() is not None:
        smaller = eroded.filter(ImageFilter.MinFilter(3))
        opened = smaller.filter(ImageFilter.MaxFilter(3))
        lines = ImageChops.lighter(lines, ImageChops.subtract(eroded, opened))
        eroded = smaller
    return lines


def _photographed(digit: Picture, draw: np.random.Generator) -> Picture:
    """A phone's picture: dim and uneven light, noise, blur and JPEG's compression."""
    picture = _shadow(digit, draw).astype(np.float32) * 0.8 + 15
    noisy = _as_bytes(picture + draw.normal(0, 6, picture.shape))
    buffer = io.BytesIO()
    Image.fromarray(noisy).filter(ImageFilter.GaussianBlur(0.7)).save(buffer, "JPEG", quality=60)
    with Image.open(buffer) as image:
        return np.asarray(image)


CONDITIONS: Final[Mapping[str, Condition]] = MappingProxyType(
    {
        "fills the picture": _fills,
        "40 % of a 200x150 sheet": _on_sheet(0.4),
        "15 % of a 200x150 sheet": _on_sheet(0.15),
        "fills grey paper, evenly lit": _filling_in_light(160, 40),
        "fills the picture in dim light": _filling_in_light(80, 20),
        "40 % of grey paper": _in_light(160, 40),
        "40 % of a sheet in dim light": _in_light(80, 20),
        "light on dark, 40 %": _inverted,
        "shadow across the sheet": _shadow,
        "lined paper": _lined,
        "squared paper": _squared,
        "sheet at an angle on a table": _rotated,
        "thin pen": _pen(3),
        "thick pen": _pen(13),
        "photographed: noise, blur, JPEG": _photographed,
    }
)


def draw_condition(name: str, digits: Picture, seed: int = 0) -> list[Picture]:
    """The digits, uint8 [images, 28, 28, 1], under one of `CONDITIONS`."""
    draw = np.random.default_rng([seed, list(CONDITIONS).index(name)])
    return [CONDITIONS[name](digit[..., 0], draw) for digit in digits]


def _enlarged(digit: Picture, side: int) -> Picture:
    return np.asarray(Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC))


def _placed(digit: Picture, share: float, draw: np.random.Generator, *, margin: int = 2) -> Picture:
    """Ink on an empty sheet, anywhere but in its margin; light on dark."""
    width, height = SHEET
    # MNIST's digits are 20 of 28 pixels high.
    side = round(height * share * 28 / 20)
    ink = Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)
    inner = margin - (side - round(side * 20 / 28)) // 2
    left = int(draw.integers(inner, width - side - inner + 1))
    top = int(draw.integers(inner, height - side - inner + 1))
    sheet = Image.new("L", SHEET)
    sheet.paste(ink, (left, top))
    return np.asarray(sheet)


def _on_paper(ink: Picture, paper: int = _PAPER, colour: int = _INK) -> Picture:
    return _as_bytes(paper + (colour - paper) * (ink.astype(np.float32) / 255))


def _as_bytes(values: NDArray[np.floating[Any]]) -> Picture:
    rounded: Picture = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded
