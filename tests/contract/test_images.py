"""Training and serving decode images to the same pixels, though neither imports the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from export.imaging.decoder import decode
from export.imaging.geometry import Size
from service.imaging import decoder
from service.repository.manifest import InputSpec
from tests.support.images.drawn_signs import sign
from tests.support.images.image_cases import CASES, RGB, encode, exif, float_colours, png_chunk

ROOT = Path(__file__).resolve().parent.parent.parent

# Functions of bytes and arrays alone: export has a copy of each of these files.
SAME_FILES = {
    "formats/netpbm.py": "netpbm.py",
    "formats/float_colours.py": "float_colours.py",
    "polarity.py": "polarity.py",
    "ink/__init__.py": "ink/__init__.py",
    "ink/glyph.py": "ink/glyph.py",
    "ink/levels.py": "ink/levels.py",
}

Resize = Literal["fit", "stretch", "crop", "ink"]
Polarity = Literal["light-on-dark", "dark-on-light"] | None
RULES: tuple[Resize, ...] = ("fit", "stretch", "crop", "ink")


def served(content: bytes, size: Size) -> NDArray[np.uint8]:
    fields = {"name": "pixels", "dtype": "uint8", "layout": "NHWC", **vars(size)}
    spec = InputSpec.model_validate(fields | dict.fromkeys(("scale", "mean", "std")))
    decoding = decoder.Decoder(spec, max_pixels=10_000_000)
    return np.asarray(decoding.decode(decoding.open(content)), np.uint8)


def stretched(pixels: NDArray[Any], side: int) -> NDArray[Any]:
    return pixels.repeat(side // len(pixels), axis=0).repeat(side // len(pixels), axis=1)


IMAGE = Image.fromarray(sign(0, 0, 150)).resize((190, 131))
TRANSPARENT = IMAGE.convert("RGBA")
TRANSPARENT.putalpha(IMAGE.convert("L"))
# More pixels than are converted at once.
LARGE = IMAGE.resize((700, 430))
GAMMA = png_chunk(b"gAMA", (100_000).to_bytes(4))
PALETTE = LARGE.quantize(200)
DRAWN = Image.new("L", (300, 220), 240)
DRAWN.paste(20, (150, 60, 170, 160))

IMAGES = {name: case.data for name, case in CASES.items()} | {
    "larger than the model": encode(IMAGE, "PNG"),
    "of the model's size": encode(IMAGE.resize((48, 48)), "PNG"),
    "smaller than the model": encode(IMAGE.resize((9, 14)), "PNG"),
    "large": encode(LARGE, "PNG"),
    "large and grey": encode(LARGE.convert("L"), "PNG"),
    "large palette": encode(PALETTE, "PNG"),
    "large palette, transparent": encode(PALETTE, "PNG", transparency=7),
    "large 16 bits": encode(np.asarray(LARGE.convert("L")).astype(np.uint16) * 257, "PNG"),
    "large float TIFF": encode(np.asarray(LARGE.convert("L")).astype(np.float32) / 255, "TIFF"),
    "large float colours": float_colours(np.asarray(LARGE) / 255, predictor=3, tile=64),
    "large CMYK": encode(LARGE.convert("CMYK"), "JPEG", quality=90),
    "large JPEG": encode(LARGE.resize((2000, 1300)), "JPEG", quality=90),
    "large progressive JPEG": encode(LARGE.resize((1300, 2000)), "JPEG", quality=90, progressive=True),
    "transparent": encode(TRANSPARENT, "PNG"),
    "large and transparent": encode(TRANSPARENT.resize((700, 430)), "WEBP"),
    "gamma": encode(RGB, "PNG").replace(png_chunk(b"IEND", b""), GAMMA + png_chunk(b"IEND", b"")),
    "gamma before the pixels": encode(RGB, "PNG")[:33] + GAMMA + encode(RGB, "PNG")[33:],
    "one glyph": encode(DRAWN, "PNG"),
    "one large glyph": encode(DRAWN.resize((1500, 1100)), "JPEG", exif=exif(6)),
    "nothing": encode(Image.new("L", (200, 150), 250), "PNG"),
    "large nothing": encode(Image.new("RGB", (900, 700), (250, 240, 230)), "PNG"),
    **{
        f"{form} of orientation {orientation}": encode(image, form, exif=exif(orientation))
        for form in ("PNG", "JPEG", "WEBP", "TIFF")
        for orientation in range(10)
        for image in (IMAGE,)
    },
    **{
        f"large {form} of orientation {orientation}": encode(LARGE, form, exif=exif(orientation))
        for form in ("PNG", "JPEG", "TIFF")
        for orientation in (3, 6, 8)
    },
}


@pytest.mark.parametrize("name", IMAGES)
def test_training_and_serving_decode_alike(name: str) -> None:
    for resize in RULES:
        polarities: tuple[Polarity, ...] = ("light-on-dark", "dark-on-light" if resize == "ink" else None)
        for channels in (1, 3):
            for side in (48, 28):
                for polarity in polarities:
                    size = Size(side, side, channels, resize, polarity)
                    np.testing.assert_array_equal(decode(IMAGES[name], size), served(IMAGES[name], size))


def test_training_decodes_photographs_as_serving_does(real_data: Path) -> None:
    paths = sorted((real_data / "photos").glob("*.JPEG"))
    if not paths:
        pytest.skip(f"no photographs in {real_data / 'photos'}")
    for path in paths:
        for resize in ("stretch", "crop"):
            size = Size(224, 224, 3, resize)
            np.testing.assert_array_equal(decode(path.read_bytes(), size), served(path.read_bytes(), size))


@pytest.mark.parametrize("path", SAME_FILES)
def test_both_have_the_same_file(path: str) -> None:
    ours, theirs = ROOT / "service/imaging" / path, ROOT / "export/imaging" / SAME_FILES[path]
    assert ours.read_text() == theirs.read_text(), f"copy {ours} to {theirs}"
