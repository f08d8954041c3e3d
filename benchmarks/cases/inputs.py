"""The folder of a model and the images to classify: real photographs, or synthetic images without them."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFilter

from service.imaging.decoder import Decoder
from service.repository.manifest import InputSpec

COUNT = 16
PHOTO = (500, 375)  # the mean size in ImageNet
MAX_PIXELS = 50_000_000
HEAVY_BYTES = 30_000_000


@dataclass(frozen=True, slots=True)
class BenchmarkInputs:
    """A version and the images to classify.

    Attributes:
        folder: the version's folder.
        files: encoded images.
        rows: the decoded images as the model's input.
        origin: a description of the images for the report.
    """

    folder: Path
    files: Sequence[bytes]
    rows: Sequence[bytes]
    origin: str

    @classmethod
    def of(cls, folder: Path, files: Sequence[bytes], origin: str) -> BenchmarkInputs:
        manifest = json.loads((folder / "manifest.json").read_text())
        decoder = Decoder(InputSpec.model_validate(manifest["input"]), max_pixels=MAX_PIXELS)
        return cls(folder, files, [decoder.decode(decoder.open(file)).tobytes() for file in files], origin)

    @property
    def is_heavy(self) -> bool:
        """True if the network classifies dozens of images per second rather than thousands."""
        return (self.folder / "model.onnx").stat().st_size > HEAVY_BYTES

    @property
    def name(self) -> str:
        return self.folder.parent.name

    @property
    def manifest(self) -> dict[str, Any]:
        manifest: dict[str, Any] = json.loads((self.folder / "manifest.json").read_text())
        return manifest


def digits(side: int = 28) -> list[bytes]:
    """Return PNG images of white strokes on black."""
    return [_png(_strokes(random.Random(seed), side)) for seed in range(COUNT)]


def photographs(folder: Path) -> tuple[list[bytes], str]:
    """Return JPEG files from `folder`, or synthetic scenes if it has too few, and their description."""
    paths = [path for path in sorted(folder.glob("*.JPEG")) if 10_000 < path.stat().st_size < 400_000]
    if len(paths) >= COUNT:
        step = len(paths) // COUNT
        return [path.read_bytes() for path in paths[::step][:COUNT]], f"{COUNT} real photographs"
    return [_jpeg(_scene(random.Random(seed))) for seed in range(COUNT)], f"{COUNT} synthetic scenes"


def _strokes(rng: random.Random, side: int) -> Image.Image:
    """Draw strokes at four times the size, so that their edges are antialiased."""
    canvas = Image.new("L", (side * 4, side * 4))
    draw = ImageDraw.Draw(canvas)
    points = [(rng.uniform(0.2, 0.8) * side * 4, rng.uniform(0.2, 0.8) * side * 4) for _ in range(4)]
    draw.line(points, fill=255, width=side // 3, joint="curve")
    return canvas.resize((side, side), Image.Resampling.LANCZOS)


def _scene(rng: random.Random) -> Image.Image:
    """Draw soft colours, edges and noise, which compress to about the size of a photograph."""
    image = Image.effect_noise(PHOTO, 40).convert("RGB")
    draw = ImageDraw.Draw(image, "RGBA")
    for _ in range(60):
        x, y = rng.uniform(0, PHOTO[0]), rng.uniform(0, PHOTO[1])
        wide, high = rng.uniform(10, 200), rng.uniform(10, 150)
        colour = tuple(rng.randrange(256) for _ in range(3))
        draw.ellipse((x - wide, y - high, x + wide, y + high), fill=(*colour, 140))
    return image.filter(ImageFilter.GaussianBlur(0.7))


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
