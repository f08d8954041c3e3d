"""TLS contexts that reload the certificate when its file changes."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigurationError
from ..system.file_watcher import FileWatcher

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the server's certificate chain, its private key, and the CA of client certificates."""

    certificate: Path
    key: Path
    client_ca: Path | None

    @classmethod
    def of(cls, certificate: Path | None, key: Path | None, client_ca: Path | None) -> TlsFiles | None:
        """None if there is no certificate or no key."""
        return None if certificate is None or key is None else cls(certificate, key, client_ca)

    def context(self, *, verify_clients: bool) -> ssl.SSLContext:
        """A context for an HTTP/1.1 server.

        Args:
            verify_clients: require a client certificate if there is a client CA.

        Raises:
            ConfigurationError: the files cannot be read, or do not belong together.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self.certificate, self.key)
            if verify_clients and self.client_ca is not None:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(self.client_ca)
        except OSError as error:  # ssl.SSLError is one
            files = ", ".join(str(path) for path in (self.certificate, self.key, self.client_ca) if path)
            reason = error.strerror or str(error)
            raise ConfigurationError(f"cannot load the TLS files {files}: {reason}") from error
        return context


class Tls:
    """The TLS contexts of the server's ports.

    Attributes:
        context: of the main port.
        admin_context: of the admin port; it requires no client certificates, because probes have none.
    """

    def __init__(self, files: TlsFiles) -> None:
        self.files = files
        self.context = files.context(verify_clients=True)
        self.admin_context = files.context(verify_clients=False)
        self._watcher = FileWatcher(files.certificate, files.key)

    def refresh(self) -> None:
        """Reload a changed certificate; the old one stays in use if the new one is invalid or incomplete."""
        if not self._watcher.changed():
            return
        try:
            self.files.context(verify_clients=False)
        except ConfigurationError as error:
            logger.error("keeping the previous certificate: %s", error)
            return
        for context in (self.context, self.admin_context):
            context.load_cert_chain(self.files.certificate, self.files.key)
        logger.warning("reloaded certificate %s", self.files.certificate)
