"""Serves the files of a folder that comes with the server."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from starlette.requests import Request
from starlette.responses import Response

from ..errors import shortened
from ..protocols.shared.conditional import ETAG_DIGITS, conditional_response, etag_of
from ..protocols.shared.responses import EncodedResponse, RawHeader, error_json

CONTENT_TYPES: Mapping[str, bytes] = MappingProxyType(
    {
        ".css": b"text/css; charset=utf-8",
        ".html": b"text/html; charset=utf-8",
        ".js": b"text/javascript; charset=utf-8",
        ".png": b"image/png",
        ".svg": b"image/svg+xml",
    }
)
# A browser asks every time whether a file has changed, and receives it only then.
REVALIDATED: RawHeader = (b"cache-control", b"no-cache")
# The path of such a file contains the digest of its content.
IMMUTABLE: RawHeader = (b"cache-control", b"public, max-age=31536000, immutable")
# Scripts, styles and pictures come only from this server, and nothing is inline. A picture that the visitor
# chose is shown from memory (blob:).
CONTENT_SECURITY_POLICY: RawHeader = (
    b"content-security-policy",
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
)


@dataclass(frozen=True, slots=True)
class StaticFile:
    """The content of one file, as it is sent."""

    body: bytes
    etag: bytes
    content_type: RawHeader

    @classmethod
    def of(cls, body: bytes, suffix: str) -> StaticFile:
        """
        Raises:
            KeyError: files with this suffix are not served.
        """
        return cls(body, etag_of(body), (b"content-type", CONTENT_TYPES[suffix]))

    @classmethod
    def read(cls, path: Path) -> StaticFile:
        return cls.of(path.read_bytes(), path.suffix)

    def respond(self, request: Request, cache: RawHeader) -> EncodedResponse:
        headers = (self.content_type, cache, CONTENT_SECURITY_POLICY)
        return conditional_response(request, self.body, self.etag, *headers)


def no_such_file(request: Request) -> Response:
    """The response to a request for a file that does not exist."""
    return error_json(f"{request.method} {shortened(request.url.path)}: there is no such file", 404)


def digest_of(files: Mapping[str, StaticFile]) -> str:
    """A digest of the names and contents of files."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + files[name].etag)
    return digest.hexdigest()[: ETAG_DIGITS // 2]
