"""Graph rewrites: each computes the same function with fewer or faster nodes."""

from .rewrite import (
    CHANNELS_LAST,
    FLOAT32_WEIGHTS,
    FOLDED_SCALING,
    REWRITES,
    SPEEDUPS,
    UINT8_INPUT,
    Rewrite,
    RewriteResult,
    rewrite,
)

__all__ = [
    "CHANNELS_LAST",
    "FLOAT32_WEIGHTS",
    "FOLDED_SCALING",
    "REWRITES",
    "SPEEDUPS",
    "UINT8_INPUT",
    "Rewrite",
    "RewriteResult",
    "rewrite",
]
