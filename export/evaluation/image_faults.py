"""Changes test images as cameras and detectors do: shifted, scaled, occluded, blurred, compressed and noisy.

All functions map images in the size of the graph's input, uint8 [images, height, width, channels], to uint8
of the same shape. The same generator gives the same result. Pixels outside of an image repeat its border.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.uint8]
Fault = Callable[[Pixels, np.random.Generator], Pixels]

_BILINEAR: Final = Image.Resampling.BILINEAR


def _unchanged(images: Pixels, draw: np.random.Generator) -> Pixels:
    return images


def _shifted(share: float) -> Fault:
    """Shift by a share of each side, to one of the four corners."""

    def fault(images: Pixels, draw: np.random.Generator) -> Pixels:
        height, width = images.shape[1:3]
        down, right = round(share * height), round(share * width)
        padded = np.pad(images, ((0, 0), (down, down), (right, right), (0, 0)), mode="edge")
        tops, lefts = (2 * reach * draw.integers(0, 2, len(images)) for reach in (down, right))
        return np.stack(
            [
                image[top : top + height, left : left + width]
                for image, top, left in zip(padded, tops, lefts, strict=True)
            ]
        )

    return fault


def _scaled(factor: float) -> Fault:
    """Enlarge or reduce the content about the centre."""

    def fault(images: Pixels, draw: np.random.Generator) -> Pixels:
        height, width = images.shape[1:3]
        pad = 0 if factor >= 1 else int(np.ceil(max(height, width) * (1 / factor - 1) / 2)) + 1
        padded = np.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="edge")
        across, down = width / factor, height / factor
        left, top = pad + (width - across) / 2, pad + (height - down) / 2
        box = (left, top, left + across, top + down)
        return _each(padded, lambda image: image.resize((width, height), _BILINEAR, box))

    return fault


def _occluded(share: float) -> Fault:
    """Cover a share of the area with a grey square at a random place."""

    def fault(images: Pixels, draw: np.random.Generator) -> Pixels:
        height, width = images.shape[1:3]
        down, across = round(height * np.sqrt(share)), round(width * np.sqrt(share))
        covered = images.copy()
        for image in covered:
            top, left = (int(draw.integers(0, room + 1)) for room in (height - down, width - across))
            image[top : top + down, left : left + across] = 128
        return covered

    return fault


def _blurred(share: float) -> Fault:
    """Blur with a Gaussian whose deviation is a share of the longer side."""

    def fault(images: Pixels, draw: np.random.Generator) -> Pixels:
        blur = ImageFilter.GaussianBlur(share * max(images.shape[1:3]))
        return _each(images, lambda image: image.filter(blur))

    return fault


def _compressed(quality: int) -> Fault:
    def compress(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        with Image.open(buffer) as opened:
            opened.load()
            return opened

    return lambda images, draw: _each(images, compress)


def _noisy(deviation: float) -> Fault:
    """Add Gaussian noise, independent for each pixel and channel."""

    def fault(images: Pixels, draw: np.random.Generator) -> Pixels:
        noisy = images + draw.normal(0, deviation, images.shape)
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)

    return fault


UNCHANGED: Final = "unchanged"

FAULTS: Final[Mapping[str, Fault]] = MappingProxyType(
    {
        UNCHANGED: _unchanged,
        "shifted by 5 % of both sides": _shifted(0.05),
        "shifted by 10 % of both sides": _shifted(0.10),
        "shifted by 15 % of both sides": _shifted(0.15),
        "content at 75 % of its size": _scaled(0.75),
        "content at 125 % of its size": _scaled(1.25),
        "5 % of the area covered": _occluded(0.05),
        "10 % of the area covered": _occluded(0.10),
        "20 % of the area covered": _occluded(0.20),
        "blurred, deviation 2 % of the side": _blurred(0.02),
        "blurred, deviation 4 % of the side": _blurred(0.04),
        "JPEG of quality 40": _compressed(40),
        "JPEG of quality 20": _compressed(20),
        "JPEG of quality 10": _compressed(10),
        "noise, deviation 10 of 255": _noisy(10),
        "noise, deviation 30 of 255": _noisy(30),
    }
)


def apply_fault(name: str, images: Pixels, seed: int) -> Pixels:
    """Return the images under one of `FAULTS`; the same seed gives the same result."""
    return FAULTS[name](images, np.random.default_rng([seed, list(FAULTS).index(name)]))


def _each(images: Pixels, change: Callable[[Image.Image], Image.Image]) -> Pixels:
    grey = images.shape[3] == 1
    changed = [
        np.asarray(change(Image.fromarray(image[..., 0] if grey else np.ascontiguousarray(image))))
        for image in images
    ]
    stacked = np.stack(changed)
    return stacked[..., np.newaxis] if grey else stacked
