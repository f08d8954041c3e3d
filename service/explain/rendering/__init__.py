"""Explanations as documents and pictures."""
