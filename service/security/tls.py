"""TLS with the certificate that lies on disk now: new connections are shown what somebody has put there."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

from ..config.settings import Settings
from ..errors import ConfigurationError
from ..system.file_watcher import FileWatcher

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """In PEM: the server's certificate with its chain, its key, and who signs the clients' certificates."""

    certificate: Path
    key: Path
    client_ca: Path | None

    @classmethod
    def of(cls, settings: Settings) -> TlsFiles | None:
        """None where the settings ask for no TLS."""
        if settings.tls_cert is None or settings.tls_key is None:
            return None
        return cls(settings.tls_cert, settings.tls_key, settings.tls_client_ca)

    def context(self, *, clients_certified: bool) -> ssl.SSLContext:
        """For a server of HTTP/1.1; with `clients_certified` it asks for certificates where there is a CA.

        Raises:
            ConfigurationError: the files cannot be read, or do not belong together.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self.certificate, self.key)
            if clients_certified and self.client_ca is not None:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(self.client_ca)
        except OSError as error:  # ssl.SSLError is one
            files = ", ".join(str(path) for path in (self.certificate, self.key, self.client_ca) if path)
            reason = error.strerror or str(error)
            raise ConfigurationError(f"the files for TLS cannot be used ({files}): {reason}") from error
        return context


class Tls:
    """What the ports of a server show, kept up to date.

    Attributes:
        context: for the port of inference.
        admin_context: for the port of operations, where probes come, which have no certificates.
    """

    def __init__(self, files: TlsFiles) -> None:
        self.files = files
        self.context = files.context(clients_certified=True)
        self.admin_context = files.context(clients_certified=False)
        self._watched = FileWatcher(files.certificate, files.key)

    def refresh(self) -> None:
        """Show the certificate that lies there now; one that is not whole, or not yet, changes nothing."""
        if not self._watched.changed():
            return
        try:
            self.files.context(clients_certified=False)
        except ConfigurationError as error:
            logger.error("the certificate stays as it was: %s", error)
            return
        for context in (self.context, self.admin_context):
            context.load_cert_chain(self.files.certificate, self.files.key)
        logger.warning("certificate read again: %s", self.files.certificate)
