"""Complete HTTP/1.1 requests as bytes, prepared once and sent many times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..types import Address

BOUNDARY = "convserve-bench"


def post(address: Address, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    host = f"[{address.host}]" if ":" in address.host else address.host
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {host}:{address.port}",
        *(f"{name}: {value}" for name, value in headers.items()),
        f"Content-Length: {len(body)}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode("latin-1") + body


def form(field: str, files: Sequence[bytes]) -> tuple[bytes, str]:
    """A multipart/form-data body (RFC 7578) with these files, and its Content-Type."""
    head = (
        f"--{BOUNDARY}\r\n"
        f'Content-Disposition: form-data; name="{field}"; filename="image"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    parts = [head + file + b"\r\n" for file in files]
    parts.append(f"--{BOUNDARY}--\r\n".encode())
    return b"".join(parts), f"multipart/form-data; boundary={BOUNDARY}"
