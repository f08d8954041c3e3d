"""Rows of a model's input as pictures, and the background with which parts of them are erased."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...batching.pending_request import Rows
from ...repository.manifest import InputSpec


def channels_last(values: NDArray[Any], spec: InputSpec) -> NDArray[Any]:
    """One row of the input as `(height, width, channels)`."""
    return values if spec.layout == "NHWC" else values.transpose(1, 2, 0)


def as_picture(row: NDArray[Any], spec: InputSpec) -> NDArray[np.uint8]:
    """One row of the input as pixels `(height, width, channels)`, without its normalisation."""
    values = channels_last(row, spec)
    if spec.dtype == "uint8":
        return values.astype(np.uint8)
    values = values.astype(np.float64)
    if spec.std is not None:
        values = values * np.array(spec.std)
    if spec.mean is not None:
        values = values + np.array(spec.mean)
    if spec.scale:
        values = values / spec.scale
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def background(row: NDArray[Any], spec: InputSpec) -> NDArray[Any]:
    """The values of erased pixels, as one row of the input.

    Drawings, whose polarity the model knows, have the colour of their edge; photographs have their mean.
    """
    pixels = channels_last(row, spec)
    if spec.polarity is not None:
        edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        colour = np.median(edge, axis=0)
    else:
        colour = pixels.reshape(-1, pixels.shape[-1]).mean(axis=0, dtype=np.float64)
    if spec.dtype == "uint8":
        colour = np.rint(colour)
    filled = np.broadcast_to(colour.astype(row.dtype), pixels.shape)
    return np.ascontiguousarray(filled if spec.layout == "NHWC" else filled.transpose(2, 0, 1))


def mixed(row: NDArray[Any], erased: NDArray[Any], masks: NDArray[np.bool_], spec: InputSpec) -> Rows:
    """Rows in which the pixels of each mask, `(n, height, width)`, are erased."""
    masks = masks[..., np.newaxis] if spec.layout == "NHWC" else masks[:, np.newaxis]
    return np.where(masks, erased, row)


def ink_of(row: NDArray[Any], spec: InputSpec) -> NDArray[np.float64]:
    """The difference of each pixel from the background, from 0 to 1, `(height, width)`.

    A photograph has no background: all pixels count alike.
    """
    pixels = channels_last(row, spec).astype(np.float64)
    if spec.polarity is None:
        return np.ones(pixels.shape[:2])
    difference = np.abs(pixels - channels_last(background(row, spec), spec)).mean(axis=-1)
    return np.asarray(difference / (difference.max() or 1.0))
