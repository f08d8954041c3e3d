"""Finds the ink of one glyph in an image and draws it in the form of MNIST's digits.

MNIST's digits fill a box of 20 of 28 pixels with their longer side, and have their centre of mass in the
middle (Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Proceedings of the IEEE 86(11), 1998, section III).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .levels import Grey, level, thickened

# The side to which a larger image is reduced before anything is looked for, so that the cost is bounded.
WORK_SIDE: Final = 192
# What the work on an image of that side needs at most.
WORK_BYTES: Final = 2 << 20

BOX_SHARE: Final = 20 / 28
# The smallest strength of ink, of 255, and of its distance from the paper in spreads of the paper's noise.
MIN_CONTRAST: Final = 24
MIN_SPREADS: Final = 4
# Of the distance from the paper to the strongest ink: where ink begins, and which edge of it is cut off.
INK_BEGINS: Final = 0.45
CUT_OFF: Final = 0.2
# The share of all pixels that the strongest ink has, and the least number of them.
STRONGEST: Final = 1 / 1000
MIN_STRONGEST: Final = 8

# Parts are found in cells of this many pixels.
CELL: Final = 3
MAX_STEPS: Final = 256
# What touches the border is removed if what remains is at least this share of it.
MIN_REMAINS: Final = 1 / 8

# Strokes of a pen are made at least this wide, in pixels of a box of 20; most of MNIST's are 2.2 to 3.1.
MIN_STROKE: Final = 1.7 / 20
# The perimeter of a stroke that runs in all directions alike, for each change along the rows and columns.
PERIMETER: Final = 2.546

Mask = NDArray[np.bool_]


def draw_glyph(image: Image.Image, size: tuple[int, int]) -> Grey | None:
    """The glyph of an image, light on dark, `(height, width)`; None if there is no ink.

    Args:
        image: the image, in mode L.
        size: width and height of the result.
    """
    strength = level(_as_grey(_reduced(image)))
    found = _ink_range(strength)
    if found is None:
        return None
    paper, ink = found
    mask = strength > paper + INK_BEGINS * (ink - paper)
    kept = _without_border(_cells(mask))
    if kept is not None:
        inside = np.repeat(np.repeat(kept, CELL, axis=0), CELL, axis=1)[: mask.shape[0], : mask.shape[1]]
        mask &= inside
        strength *= inside
        ink = _strongest(strength[mask], share=0.1)
    box = _box(_without_specks(mask))
    cut = _thick_enough(strength[box], mask[box], size)
    return _placed(_stretched(cut, paper, ink), size)


def _reduced(image: Image.Image) -> Image.Image:
    scale = WORK_SIDE / max(image.size)
    if scale >= 1:
        return image
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)


def _as_grey(image: Image.Image) -> Grey:
    grey: Grey = np.asarray(image if image.mode == "L" else image.convert("L"))
    return grey


def _ink_range(strength: Grey) -> tuple[int, int] | None:
    """The strength of paper and of ink; None if they differ by no more than noise does."""
    counts = np.bincount(strength.ravel(), minlength=256).cumsum()
    low, paper = (int(np.searchsorted(counts, strength.size * share)) for share in (0.1, 0.5))
    ink = int(np.searchsorted(counts, strength.size - max(MIN_STRONGEST, strength.size * STRONGEST)))
    least = max(MIN_CONTRAST, MIN_SPREADS * (paper - low))
    return (paper, ink) if ink - paper >= least else None


def _strongest(strengths: Grey, share: float) -> int:
    count = min(len(strengths), max(MIN_STRONGEST, int(len(strengths) * share)))
    return int(np.partition(strengths, -count)[-count])


def _cells(mask: Mask) -> Mask:
    """True for each cell of CELL by CELL pixels in which there is ink."""
    height, width = (-(-side // CELL) * CELL for side in mask.shape)
    padded = np.zeros((height, width), np.bool_)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    return np.asarray(padded.reshape(height // CELL, CELL, width // CELL, CELL).any(axis=(1, 3)))


def _without_border(cells: Mask) -> Mask | None:
    """The cells that do not belong to a part that touches the border, such as the edge of a sheet.

    None if no part does, or if hardly anything would remain: then the glyph itself touches it.
    """
    reached = np.zeros_like(cells)
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        reached[edge] = cells[edge]
    count = int(reached.sum())
    if not count:
        return None
    for _ in range(MAX_STEPS):
        spread = reached.copy()
        spread[1:] |= reached[:-1]
        spread[:-1] |= reached[1:]
        spread[:, 1:] |= reached[:, :-1]
        spread[:, :-1] |= reached[:, 1:]
        spread &= cells
        grown = int(spread.sum())
        if grown == count:
            break
        reached, count = spread, grown
    remains = int((cells & ~reached).sum())
    return ~reached if remains and remains >= count * MIN_REMAINS else None


def _without_specks(mask: Mask) -> Mask:
    """The ink without dots of at most two by two cells with nothing around them; all of it if it is dots."""
    cells = np.pad(_cells(mask), 2).astype(np.int32)
    sums = np.pad(cells, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)

    def counts(side: int) -> NDArray[Any]:
        """The cells with ink in each window of this side."""
        above: NDArray[Any] = sums[side:, side:] - sums[:-side, side:]
        found: NDArray[Any] = above - (sums[side:, :-side] - sums[:-side, :-side])
        return found

    inner, outer = counts(2)[1:-1, 1:-1], counts(4)
    alone = (inner > 0) & (inner == outer)
    if not alone.any():
        return mask
    specks = np.zeros(cells.shape, np.bool_)
    for down in (1, 2):
        for across in (1, 2):
            specks[down : down + alone.shape[0], across : across + alone.shape[1]] |= alone
    inside = ~np.repeat(np.repeat(specks[2:-2, 2:-2], CELL, axis=0), CELL, axis=1)
    clean: Mask = mask & inside[: mask.shape[0], : mask.shape[1]]
    return clean if clean.any() else mask


def _box(mask: Mask) -> tuple[slice, slice]:
    """The rows and columns of the ink, and one more on each side for its soft edge."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    top, left = max(0, int(rows[0]) - 1), max(0, int(columns[0]) - 1)
    return slice(top, int(rows[-1]) + 2), slice(left, int(columns[-1]) + 2)


def _thick_enough(strength: Grey, mask: Mask, size: tuple[int, int]) -> Grey:
    """The glyph with thin strokes made as wide as those that networks learn."""
    edges = np.pad(mask, 1)
    changes = int((edges[1:] != edges[:-1]).sum()) + int((edges[:, 1:] != edges[:, :-1]).sum())
    stroke = PERIMETER * int(mask.sum()) / max(1, changes)
    longer = max(mask.shape)
    reach = round((MIN_STROKE * longer - stroke) / 2)
    return thickened(strength, reach) if reach > 0 else strength


def _stretched(strength: Grey, paper: int, ink: int) -> Grey:
    black = paper + CUT_OFF * (ink - paper)
    stretched = (strength.astype(np.float32) - np.float32(black)) * np.float32(255 / (ink - black))
    clipped: Grey = np.clip(stretched, 0, 255).astype(np.uint8)
    return clipped


def _placed(glyph: Grey, size: tuple[int, int]) -> Grey:
    """The glyph in its box, with its centre of mass in the middle of the result as far as it fits."""
    width, height = size
    scale = BOX_SHARE * min(size) / max(glyph.shape)
    across, down = (max(1, round(side * scale)) for side in (glyph.shape[1], glyph.shape[0]))
    resized = Image.fromarray(glyph).resize((across, down), Image.Resampling.BICUBIC, reducing_gap=3.0)
    drawn = _as_grey(resized)
    mass = max(1, int(drawn.sum(dtype=np.int64)))
    middles = [
        int(drawn.sum(axis=1 - axis, dtype=np.int64) @ np.arange(drawn.shape[axis])) / mass for axis in (0, 1)
    ]
    top = min(max(round(height / 2 - middles[0]), 0), height - down)
    left = min(max(round(width / 2 - middles[1]), 0), width - across)
    result = np.zeros((height, width), np.uint8)
    result[top : top + down, left : left + across] = drawn
    return result
