"""A blocking HTTP client for the commands and the load generator."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from .errors import ConfigurationError, RemoteServerError

DEFAULT_PORTS: Mapping[str, int] = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Response:
    """A complete response; `url` is the one that was requested."""

    url: str
    status: int
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            RemoteServerError: the body is not a JSON object.
        """
        try:
            document = json.loads(self.body)
        except ValueError as error:
            raise RemoteServerError(f"{self.url} did not return JSON; is it a convserve server?") from error
        if not isinstance(document, dict):
            raise RemoteServerError(f"{self.url} returned JSON that is not an object")
        return document


class HttpClient:
    """Sends one request at a time to one server, over one connection.

    Args:
        url: `http://` or `https://`, a host, and optionally a port and a path prefix.
        key: API key, sent as a bearer token; None sends none.
        timeout: seconds for each network operation.
        verify: whether the certificate of an https server is verified.

    Raises:
        ConfigurationError: the URL is malformed.
    """

    def __init__(
        self, url: str, *, key: str | None = None, timeout: float = 60.0, verify: bool = True
    ) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
            raise ConfigurationError(f"the URL must look like http://127.0.0.1:8000, not {url!r}")
        self.url = url.rstrip("/")
        self.host = parts.hostname
        self.port = DEFAULT_PORTS[parts.scheme] if port is None else port
        self.path = parts.path.rstrip("/")
        self.tls = parts.scheme == "https"
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._connection = self._connect(timeout, verify)

    def _connect(self, timeout: float, verify: bool) -> http.client.HTTPConnection:
        if not self.tls:
            return http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        context = ssl.create_default_context()
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=context)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def get(self, path: str) -> Response:
        """
        Raises:
            RemoteServerError: the server cannot be reached or does not speak HTTP.
        """
        return self._request("GET", path, None, self._headers)

    def post(self, path: str, body: bytes, content_type: str) -> Response:
        """
        Raises:
            RemoteServerError: the server cannot be reached or does not speak HTTP.
        """
        return self._request("POST", path, body, {**self._headers, "Content-Type": content_type})

    def _request(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Response:
        try:
            self._connection.request(method, self.path + path, body, headers)
            response = self._connection.getresponse()
            return Response(self.url + path, response.status, response.read())
        except (OSError, http.client.HTTPException) as error:
            raise RemoteServerError(f"cannot reach {self.url}: {error}") from error
