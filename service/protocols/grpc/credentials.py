"""TLS credentials for gRPC, whose library has its own TLS implementation."""

from __future__ import annotations

from typing import Any

import grpc

from ...security.tls import TlsFiles
from ...system.file_watcher import FileWatcher


def credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Credentials that reload the certificate when its files change.

    The library checks for a new certificate at each handshake, and keeps the old one if the new is invalid.
    """
    watched = FileWatcher(files.certificate, files.key)

    def new_configuration() -> Any:  # None for no change, which the stubs do not allow
        return _read(files) if watched.changed() else None

    return grpc.dynamic_ssl_server_credentials(
        _read(files), new_configuration, require_client_authentication=files.client_ca is not None
    )


def _read(files: TlsFiles) -> grpc.ServerCertificateConfiguration:
    pair = (files.key.read_bytes(), files.certificate.read_bytes())
    roots = None if files.client_ca is None else files.client_ca.read_bytes()
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=roots)
