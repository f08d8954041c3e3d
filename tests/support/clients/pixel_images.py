"""Pictures as arrays and as files."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def png(pixels: Pixels) -> bytes:
    """A grey or coloured picture, `(height, width)` or `(height, width, 3)`, as a file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
