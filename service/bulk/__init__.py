"""Classifies many image files without a server, in one or more processes."""
