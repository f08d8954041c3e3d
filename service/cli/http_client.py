"""Asking a running server, for the shell: one connection, one picture a request."""

from __future__ import annotations

import http.client
import json
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

from ..errors import ConfigurationError, InvalidImage, RemoteServerError
from ..imaging.decode_pool import EncodedImage

TIMEOUT_SECONDS = 60.0


class Client:
    """Speaks the native dialect of the server at `url`, with an API key where one is given."""

    def __init__(
        self, url: str, model: str | None, version: str | None, top_k: int, key: str | None = None
    ) -> None:
        parts = urlsplit(url)
        kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        if parts.scheme not in kinds or not parts.hostname:
            raise ConfigurationError(f"--url must be like http://127.0.0.1:8000, not {url!r}")
        self._url = url
        self._connection = kinds[parts.scheme](parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)
        path = "" if model is None else f"/models/{quote(model, safe='')}"
        path += "" if version is None else f"/versions/{quote(version, safe='')}"
        self._headers = {"Content-Type": "application/octet-stream"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"
        self._path = f"{parts.path.rstrip('/')}{path}/classify?top_k={top_k}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    async def classify(self, image: EncodedImage) -> dict[str, Any]:
        """The server's answer; it is not told the file's name, which is put in here.

        Raises:
            InvalidImage: the server cannot read the picture.
            RemoteServerError: it cannot be reached, or answered anything else but 200.
        """
        try:
            self._connection.request("POST", self._path, image.data, self._headers)
            response = self._connection.getresponse()
            document: dict[str, Any] = json.loads(response.read())
        except (OSError, http.client.HTTPException) as error:
            raise RemoteServerError(f"{self._url} cannot be asked: {error}") from error
        except ValueError as error:
            raise RemoteServerError(
                f"{self._url} did not answer in JSON: is it a convserve server?"
            ) from error
        if response.status == 400:
            raise InvalidImage(str(document.get("error")))
        if response.status != 200:
            raise RemoteServerError(
                f"{self._url} answered {response.status}: {document.get('error', document)}"
            )
        document["predictions"][0]["filename"] = image.filename
        return document
