"""Rewrites of a converted graph: each computes the same function, with fewer or faster nodes."""

from .rewrite import CHANNELS_LAST, FASTER, PIXELS, REWRITES, WHOLE, Rewrite, Rewritten, rewrite

__all__ = ["CHANNELS_LAST", "FASTER", "PIXELS", "REWRITES", "WHOLE", "Rewrite", "Rewritten", "rewrite"]
