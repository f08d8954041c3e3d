"""Explains the answers of a network: which parts of an image led to them."""
