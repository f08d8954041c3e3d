"""Keeps libtiff from writing to standard error."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import cache

from PIL import _imaging


@cache
def silence_libtiff() -> None:
    """Turn off the messages that libtiff prints about damaged files, in this process.

    They stand between the lines of the log, in no format, and a client decides how many there are. Pillow
    turns off only the warnings. It raises an error for what is damaged.
    """
    # The symbols of a library include those of the libraries that it depends on.
    with suppress(OSError, AttributeError):  # this build of Pillow has no libtiff, or hides its symbols
        library = ctypes.CDLL(_imaging.__file__)
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            set_handler = getattr(library, name)
            set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
            set_handler(None)
