"""Is the server on this machine ready: what a container's HEALTHCHECK asks, in a process of its own."""

from __future__ import annotations

import http.client
import json
import ssl
from contextlib import closing

from ..errors import RemoteServerError

TIMEOUT_SECONDS = 4.0  # below the time-out that container engines are told
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


def ask_readiness(host: str, port: int, *, secure: bool) -> str:
    """What `/readyz` of the server that listens there says, if it is that it is ready.

    Args:
        host: as the server was told; a wildcard is asked by way of loopback.
        secure: whether it speaks TLS. Its certificate, which is for other names, is not looked at.

    Raises:
        RemoteServerError: it is not ready, or cannot be asked.
    """
    host = _LOOPBACK.get(host, host)
    with closing(_connection(host, port, secure)) as connection:
        try:
            connection.request("GET", "/readyz")
            response = connection.getresponse()
            status = str(json.loads(response.read())["status"])
        except (OSError, http.client.HTTPException) as error:
            raise RemoteServerError(f"the server on {host} port {port} cannot be asked: {error}") from error
        except (ValueError, TypeError, KeyError) as error:
            raise RemoteServerError(f"what answers on {host} port {port} is no convserve server") from error
    if response.status != 200:
        raise RemoteServerError(f"the server on {host} port {port} is not ready: {status}")
    return status


def _connection(host: str, port: int, secure: bool) -> http.client.HTTPConnection:
    if not secure:
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)
