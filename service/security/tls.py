"""TLS contexts that are replaced as a whole when the files of the certificate change."""

from __future__ import annotations

import logging
import ssl
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from ..system.regular_files import private_file, read_regular

# Of a PEM file; bundles of all public authorities have a quarter of a megabyte.
MAX_PEM_BYTES = 4 << 20

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Certificates:
    """The contents of the PEM files at one moment: certificate chain, private key, and CA of clients."""

    certificate: bytes
    key: bytes
    client_ca: bytes | None

    def context(self, *, verify_clients: bool) -> ssl.SSLContext:
        """A context for an HTTP/1.1 server.

        Args:
            verify_clients: require a client certificate if there is a client CA.

        Raises:
            OSError, ValueError: the contents are invalid, or do not belong together.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION  # OpenSSL 1.1 lets a client repeat the handshake at will
        context.set_alpn_protocols(["http/1.1"])
        with ExitStack() as stack:
            # The library reads files only. From these copies it gets the contents that belong together.
            certificate, key = (
                stack.enter_context(private_file(content)) for content in (self.certificate, self.key)
            )
            # With a password, the library does not ask for one on the terminal and wait.
            context.load_cert_chain(certificate, key, password="")
            if verify_clients and self.client_ca is not None:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(stack.enter_context(private_file(self.client_ca)))
        return context


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

    def read(self) -> Certificates:
        """Read every file once.

        Raises:
            OSError: a file cannot be read.
        """
        certificate, key = (read_regular(path, MAX_PEM_BYTES) for path in (self.certificate, self.key))
        client_ca = None if self.client_ca is None else read_regular(self.client_ca, MAX_PEM_BYTES)
        return Certificates(certificate, key, client_ca)

    def error(self, cause: Exception) -> ConfigurationError:
        """The error that names the files and the cause."""
        files = ", ".join(str(path) for path in (self.certificate, self.key, self.client_ca) if path)
        reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
        return ConfigurationError(f"cannot load the TLS files {files}: {reason}")


class ReplaceableContext(ssl.SSLContext):
    """A server's context whose new connections use another context, `current`.

    A listening socket keeps the context that it was created with. To change that one would take two steps,
    certificate and authority, and would leave the sessions valid that clients resume without a certificate.
    """

    current: ssl.SSLContext

    @classmethod
    def of(cls, current: ssl.SSLContext) -> ReplaceableContext:
        context = cls(ssl.PROTOCOL_TLS_SERVER)
        context.current = current
        return context

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """Called by the event loop for each new connection."""
        return self.current.wrap_bio(*args, **kwargs)


class Tls:
    """The TLS contexts of the server's ports, which change together.

    Attributes:
        certificates: the contents in use; always valid and from one moment.
        context: of the main port.
        admin_context: of the admin port; it requires no client certificates, because probes have none.

    Raises:
        ConfigurationError: the files cannot be read, or do not belong together.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._complaint = ""
        try:
            self.certificates = self._seen = files.read()
            context, admin_context = self._contexts(self.certificates)
        except (OSError, ValueError) as error:
            raise files.error(error) from error
        self.context = ReplaceableContext.of(context)
        self.admin_context = ReplaceableContext.of(admin_context)

    def refresh(self) -> None:
        """Use the files if their contents have changed; the old ones stay in use while the new are invalid.

        The contents are compared, not the times of the files, so that no change is missed.
        """
        try:
            certificates = self._files.read()
            if certificates == self._seen:
                return
            self._seen = certificates
            context, admin_context = self._contexts(certificates)
        except FileNotFoundError:
            return  # the file is about to be replaced
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            self._complain(str(self._files.error(error)))
            return
        self._complaint = ""
        self.certificates = certificates
        self.context.current, self.admin_context.current = context, admin_context
        logger.warning("reloaded certificate %s", self._files.certificate)

    def reload(self) -> None:
        """As `refresh`, but report again what is wrong with the files."""
        self._complaint, self._seen = "", self.certificates
        self.refresh()

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:
            self._complaint = complaint
            logger.error("keeping the previous certificate: %s", complaint)

    def _contexts(self, certificates: Certificates) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        return certificates.context(verify_clients=True), certificates.context(verify_clients=False)
