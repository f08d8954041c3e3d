"""The images that a measurement sends."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from ...config.settings import Settings
from ...errors import ConfigurationError
from ..target import Target
from .request_builders import TENSOR_PROTOCOLS, Batch

SYNTHETIC_SIDE = 28


def batches(
    settings: Settings, target: Target, protocol: str, paths: Sequence[Path], count: int
) -> list[Batch]:
    """One batch of `count` images for each file, each starting with another file.

    Args:
        paths: image files; an example image of the model replaces an empty sequence.

    Raises:
        ConfigurationError: a file cannot be read, or the server does not describe the model's input.
    """
    files = [_read(path) for path in paths] or [_example(settings, target)]
    groups = [[files[(i + j) % len(files)] for j in range(count)] for i in range(len(files))]
    if protocol not in TENSOR_PROTOCOLS:
        return [Batch(group) for group in groups]
    rows = dict(zip(files, _decode(settings, target, files), strict=True))
    return [Batch(group, b"".join(rows[file] for file in group)) for group in groups]


def _decode(settings: Settings, target: Target, files: Sequence[bytes]) -> list[bytes]:
    from ...imaging.decoder import Decoder

    decoder = Decoder(target.input_spec, max_pixels=settings.max_pixels)
    return [decoder.decode(decoder.open(file)).tobytes() for file in files]


def _example(settings: Settings, target: Target) -> bytes:
    """The example of the model of that name in the local repository, or a synthetic image of its size."""
    examples = sorted((settings.models / target.model).glob("*/example.png"))
    if examples:
        return examples[-1].read_bytes()
    spec = target.spec
    return synthetic_image(SYNTHETIC_SIDE if spec is None or spec.height is None else spec.height)


def synthetic_image(side: int) -> bytes:
    """A grayscale PNG of `side` x `side` pixels: a white disc with a soft edge on black."""
    from PIL import Image, ImageOps

    gradient = Image.radial_gradient("L")  # 0 in the centre, 255 beyond the edge
    disc = ImageOps.autocontrast(ImageOps.invert(gradient), cutoff=(40, 20))
    buffer = io.BytesIO()
    disc.resize((side, side)).save(buffer, "PNG")
    return buffer.getvalue()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
