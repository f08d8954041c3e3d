"""TLS credentials for gRPC, whose library has its own TLS implementation."""

from __future__ import annotations

from typing import Any

import grpc

from ...security.tls import Certificates, Tls


def credentials(tls: Tls) -> grpc.ServerCredentials:
    """Credentials that always have the certificate that HTTP uses.

    The library asks for a new certificate at each handshake, and keeps the old one if the new is invalid.
    """
    used = tls.certificates

    def new_configuration() -> Any:  # None for no change, which the stubs do not allow
        nonlocal used
        current = tls.certificates
        if current is used:
            return None
        used = current
        return _configuration(current)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(used), new_configuration, require_client_authentication=used.client_ca is not None
    )


def _configuration(certificates: Certificates) -> grpc.ServerCertificateConfiguration:
    pair = (certificates.key, certificates.certificate)
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=certificates.client_ca)
