"""The same TLS for gRPC, whose library has its own."""

from __future__ import annotations

from typing import Any

import grpc

from ...security.tls import TlsFiles
from ...system.file_watcher import FileWatcher


def credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """The library asks for the certificate at the beginning of each connection.

    What is not whole it does not take, and goes on with what it had.
    """
    watched = FileWatcher(files.certificate, files.key)

    def changed() -> Any:  # None for what is known already, which the stubs do not know
        return _read(files) if watched.changed() else None

    return grpc.dynamic_ssl_server_credentials(
        _read(files), changed, require_client_authentication=files.client_ca is not None
    )


def _read(files: TlsFiles) -> grpc.ServerCertificateConfiguration:
    pair = (files.key.read_bytes(), files.certificate.read_bytes())
    roots = None if files.client_ca is None else files.client_ca.read_bytes()
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=roots)
