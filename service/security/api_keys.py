"""API keys with names, scopes and rate limits, of which only digests are kept in memory.

A list of keys has one key per line; in an environment variable, semicolons separate them:

    # name    scopes         the key, or its SHA-256         requests a second
    mobile    infer          sha256:9f86d081884c7d65…        50
    ops       infer,admin    sha256:60303ae22b998861…
    scraper   metrics        sha256:fd61a03af4f77d87…

A name may have several keys, so that a key can be replaced without interruption.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ..errors import ConfigurationError
from ..system.file_watcher import FileWatcher
from ..system.regular_files import read_regular

MIN_LENGTH = 16
MAX_FILE_BYTES = 4 << 20
PREFIX = "sha256:"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")

logger = logging.getLogger(__name__)


class Scope(StrEnum):
    """The scopes of a key; none includes another."""

    INFER = "infer"
    ADMIN = "admin"
    METRICS = "metrics"


@dataclass(frozen=True, slots=True)
class Key:
    """`rate` limits the requests per second of all keys of this name; None is unlimited."""

    name: str
    scopes: frozenset[Scope]
    digest: bytes
    rate: float | None


class ApiKeyStore:
    """The valid keys.

    Args:
        text: a fixed list of keys.
        file: another list, which `refresh` reloads.

    Raises:
        ConfigurationError: a list is invalid or both are empty. The message gives the position of the error
            and no part of the list.
    """

    def __init__(self, text: str, file: Path | None) -> None:
        self._fixed = read_keys(text, "CONVSERVE_API_KEYS")
        self._file = file
        self._watcher = None if file is None else FileWatcher(file)
        self._keys = [*self._fixed, *([] if file is None else _read_file(file))]
        if not self._keys:
            raise ConfigurationError("CONVSERVE_API_KEYS and CONVSERVE_API_KEYS_FILE contain no API key")

    def find(self, presented: bytes) -> Key | None:
        """The key with this text, compared in constant time; None if it is unknown."""
        digest = hashlib.sha256(presented).digest()
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def refresh(self) -> None:
        """Reload a changed file; the previous keys stay valid if it cannot be read."""
        if self._watcher is not None and self._watcher.changed():
            self.reload()

    def reload(self) -> None:
        """Read the file again; the previous keys stay valid if it cannot be read."""
        if self._file is None:
            return
        try:
            keys = [*self._fixed, *_read_file(self._file, again=True)]
            if not keys:
                raise ConfigurationError(f"{self._file} contains no key")
        except ConfigurationError as error:
            logger.error("keeping the previous API keys: %s", error)
        else:
            self._keys = keys
            logger.warning("reloaded API keys: %s", ", ".join(sorted({key.name for key in keys})))


def new_key() -> str:
    """A key of 256 random bits, safe in shells and headers."""
    return secrets.token_urlsafe(32)


def digest_of(key: str) -> str:
    """A key as it is written in a list of keys."""
    return PREFIX + hashlib.sha256(key.encode()).hexdigest()


def read_keys(text: str, source: str) -> Sequence[Key]:
    """Parse a list of keys.

    Raises:
        ConfigurationError: a key is invalid; the message gives its number in `source`.
    """
    keys = []
    for number, line in enumerate(re.split(r"[;\n]", text), start=1):
        fields = line.split()
        if fields and not fields[0].startswith("#"):
            try:
                keys.append(_read_key(fields))
            except ValueError as error:
                raise ConfigurationError(f"{source}, key {number}: {error}") from None
    return keys


def _read_file(path: Path, *, again: bool = False) -> Sequence[Key]:
    """The keys in a file; a pipe, such as a shell's `<(…)`, can be read once, and would then block."""
    try:
        content = read_regular(path, MAX_FILE_BYTES) if again else path.read_bytes()
        return read_keys(content.decode("utf-8-sig"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(f"cannot read the API keys in {path}: {reason}") from None


def _read_key(fields: Sequence[str]) -> Key:
    if not 3 <= len(fields) <= 4:
        raise ValueError("expected a name, scopes, a key and optionally a rate")
    name, scopes, secret = fields[:3]
    if not _NAME.fullmatch(name):
        raise ValueError("the name must have at most 64 letters, digits, dots, hyphens and underscores")
    unknown = set(scopes.split(",")) - {*Scope}
    if unknown:
        raise ValueError(f"the scopes of {name} must be some of {', '.join(Scope)}")
    rate = _read_rate(name, fields[3]) if len(fields) == 4 else None
    return Key(name, frozenset(map(Scope, scopes.split(","))), _read_digest(name, secret), rate)


def _read_digest(name: str, secret: str) -> bytes:
    if not secret.startswith(PREFIX):
        if len(secret) < MIN_LENGTH:
            raise ValueError(f"the key of {name} is shorter than {MIN_LENGTH} characters")
        return hashlib.sha256(secret.encode()).digest()
    if not _DIGEST.fullmatch(secret.removeprefix(PREFIX)):
        raise ValueError(f"the SHA-256 of {name} must be 64 lower-case hexadecimal digits")
    return bytes.fromhex(secret.removeprefix(PREFIX))


def _read_rate(name: str, text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise ValueError(f"the rate of {name} must be a positive number of requests a second")
    return rate
