"""Rewrites of a converted graph: each computes the same function, with fewer or faster nodes."""

from .rewrite import REWRITES, Rewrite, Rewritten, rewrite

__all__ = ["REWRITES", "Rewrite", "Rewritten", "rewrite"]
