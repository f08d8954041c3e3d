"""The form of a path under which a proxy publishes the server."""

from __future__ import annotations

import re

MAX_LENGTH = 256
# The prefix stands in links: no character that ends an attribute, and no second slash, which names a host.
_PREFIX = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")


def is_path_prefix(text: str) -> bool:
    """True if a text is a path such as `/models/eu`: with a slash at its beginning and none at its end."""
    return len(text) <= MAX_LENGTH and _PREFIX.fullmatch(text) is not None


def normal_prefix(text: str) -> str:
    """A prefix without a slash at its end; it may be empty.

    Raises:
        ValueError: the text is no path.
    """
    path = text.rstrip("/")
    if path and not is_path_prefix(path):
        raise ValueError(f"expected a path such as /models-eu, not {text[:100]!r}")
    return path
