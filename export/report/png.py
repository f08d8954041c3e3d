"""Encodes figures as PNG files."""

from __future__ import annotations

import io

from matplotlib.figure import Figure
from PIL import Image


def encode(figure: Figure, colours: int = 64) -> bytes:
    """Encode a figure with a palette of `colours` colours, to keep the file small; 0 keeps all colours."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    if not colours:
        return buffer.getvalue()
    small = io.BytesIO()
    with Image.open(buffer) as image:
        image.convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()
