"""Formats that Pillow cannot read, or reads slowly, and the plugins of those that it reads."""
