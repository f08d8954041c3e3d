"""The prefix under which a proxy publishes the server's paths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from ..client_budget.identity import TrustedProxies
from ..config.path_prefix import is_path_prefix
from ..config.settings import Settings

FORWARDED_PREFIX = b"x-forwarded-prefix"


class PathPrefix:
    """The prefix of the setting `root_path`, or of the header X-Forwarded-Prefix of a trusted proxy.

    Args:
        root_path: the configured prefix, without a slash at its end; empty for none.
        proxies: those whose header is believed.
    """

    def __init__(self, root_path: str = "", proxies: TrustedProxies | None = None) -> None:
        self.root_path = root_path
        self._proxies = proxies or TrustedProxies()

    @classmethod
    def of_settings(cls, settings: Settings) -> Self:
        """
        Raises:
            ConfigurationError: `trusted_proxies` is not a list of addresses.
        """
        return cls(settings.root_path, TrustedProxies.parse(settings.trusted_proxies))

    def of(self, scope: Mapping[str, Any]) -> str:
        """The prefix of a request's URL, without a slash at its end; empty if there is none.

        A header that is no path counts as none: the value stands in links.
        """
        if self._proxies and scope["client"] and self._proxies.trusts(scope["client"][0]):
            values: list[bytes] = [value for name, value in scope["headers"] if name == FORWARDED_PREFIX]
            if len(values) == 1 and is_path_prefix(prefix := values[0].decode("latin-1").rstrip("/")):
                return prefix
        return self.root_path

    def without(self, path: str) -> str:
        """A path without the configured prefix, which a proxy may have kept or removed."""
        root = self.root_path
        if root and path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/"):
            return path[len(root) :] or "/"
        return path
