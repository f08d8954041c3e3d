"""Reads from the header of an image what decoding it costs."""
