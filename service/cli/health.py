"""The command `convserve health`, which the HEALTHCHECK of a container runs."""

from __future__ import annotations

from ..config.settings import Settings
from ..errors import RemoteServerError
from ..http_client import HttpClient

TIMEOUT_SECONDS = 4.0  # less than container engines usually allow
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


def check_readiness(settings: Settings) -> str:
    """The status that `/readyz` of the server on this machine reports.

    With TLS the certificate is not verified: it is not issued for the loopback address.

    Raises:
        RemoteServerError: the server is not ready or cannot be reached.
    """
    host = _LOOPBACK.get(settings.host, settings.host)
    # The admin port, if there is one, requires no client certificate.
    port = settings.admin_port if settings.admin_port > 0 else settings.port
    scheme = "http" if settings.tls_cert is None else "https"
    url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    with HttpClient(url, timeout=TIMEOUT_SECONDS, verify=False) as client:
        response = client.get("/readyz")
        status = str(response.json().get("status"))
    if response.status != 200:
        raise RemoteServerError(f"the server at {url} is not ready: {status}")
    return status
