"""Compares a published graph with the network that it was converted from."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...errors import VerificationError
from ...repository.manifest import Parity

# Relative to the largest score. A wrong layer differs by far more, the order of sums by far less.
TOLERANCE: Final = 1e-4


def check_parity(expected: NDArray[np.float32], found: NDArray[np.float32], witness: str) -> Parity:
    """Compare the scores of a graph with those of its original for the same images.

    A class of equal scores, up to the tolerance, may differ.

    Args:
        expected: the scores of the original, [images, classes].
        found: those of the graph, in the same shape.
        witness: the name of the original in messages.

    Raises:
        VerificationError: a score or a class differs.
    """
    limit = TOLERANCE * max(1.0, float(np.abs(expected).max()))
    difference = float(np.max(np.abs(expected - found)))
    if not difference <= limit:  # rejects NaN too
        raise VerificationError(
            f"the ONNX graph does not match {witness}: scores differ by up to {difference:.1e} on "
            f"{len(expected):,} images, the limit is {limit:.0e}"
        )
    rows = np.arange(len(expected))
    lead = expected.max(axis=1) - expected[rows, found.argmax(axis=1)]
    if (lead > 2 * limit).any():
        raise VerificationError(f"the ONNX graph does not match {witness}: predicted classes differ")
    return Parity(examples=len(expected), max_abs_difference=difference, argmax_equal=not lead.any())
