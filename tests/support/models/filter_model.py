"""The filter model, which returns feature maps: the fixed kernels of the export, and a copy in numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.networks.filters import KERNELS, REACH, weights
from export.pipelines.fixed_filters import OUTPUT, build_graph
from export.repository.manifest import InputSpec, Manifest, OutputSpec
from export.repository.publish import publish

NAMES = tuple(KERNELS)


def images(count: int, height: int, width: int) -> NDArray[np.uint8]:
    """Random images, uint8 of shape (count, height, width, 1)."""
    random = np.random.default_rng(height * width)
    return random.integers(0, 256, (count, height, width, 1), dtype=np.uint8)


def feature_maps(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The feature maps of images, computed in numpy: float32 of shape (count, height, width, 4)."""
    edges = ((0, 0), (REACH, REACH), (REACH, REACH), (0, 0))
    padded = np.pad(pixels.astype(np.float64), edges, mode="edge")
    height, width = pixels.shape[1:3]
    kernels = weights()
    total = sum(
        padded[:, row : row + height, column : column + width] * kernels[row, column, 0]
        for row in range(len(kernels))
        for column in range(len(kernels))
    )
    return np.asarray(total, np.float32)


def publish_filters(models: Path, name: str = "filters", *, max_batch_size: int = 4) -> Path:
    """Publishes the next version with the export's publisher; returns the version's folder."""
    manifest = Manifest(
        name=name,
        description="Four fixed kernels.",
        input=InputSpec("pixels", "uint8", "NHWC", None, None, 1, "fit"),
        output=OutputSpec(OUTPUT, "maps"),
        labels=NAMES,
        max_batch_size=max_batch_size,
        opset=18,
        parameters=0,
        tolerance=1e-3,
        weights="fixed",
    )
    golden = images(2, 6, 9)
    return publish(models, manifest, build_graph(), golden, feature_maps(golden))
