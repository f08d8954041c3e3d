"""API keys: who has one, what it may ask, and how often. Only digests are kept.

A list of keys has one a line (or, in an environment variable, one between semicolons):

    # name    scopes         the key, or its SHA-256         requests a second
    mobile    infer          sha256:9f86d081884c7d65…        50
    ops       infer,admin    sha256:60303ae22b998861…
    scraper   metrics        sha256:fd61a03af4f77d87…

One name may have several keys, which is how a key is changed without a moment when none is good.
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

MIN_LENGTH = 16
PREFIX = "sha256:"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")

logger = logging.getLogger(__name__)


class Scope(StrEnum):
    """What a key may ask for. None includes another."""

    INFER = "infer"
    ADMIN = "admin"
    METRICS = "metrics"


@dataclass(frozen=True, slots=True)
class Key:
    """`rate` is in requests a second, over all keys of this name; None is without bound."""

    name: str
    scopes: frozenset[Scope]
    digest: bytes
    rate: float | None


class ApiKeyStore:
    """The keys that are good now.

    Args:
        text: a list of keys that never changes.
        file: another, which `refresh` looks at.

    Raises:
        ConfigurationError: a list cannot be read; the message says where, and never what is written there.
    """

    def __init__(self, text: str, file: Path | None) -> None:
        self._lasting = read_keys(text, "CONVSERVE_API_KEYS")
        self._file = file
        self._watched = None if file is None else FileWatcher(file)
        self._keys = [*self._lasting, *([] if file is None else _read_file(file))]
        if not self._keys:
            raise ConfigurationError("there is no API key in CONVSERVE_API_KEYS or CONVSERVE_API_KEYS_FILE")

    def find(self, presented: bytes) -> Key | None:
        """The key, in a time that does not depend on which it is or how much of it is right."""
        digest = hashlib.sha256(presented).digest()
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def refresh(self) -> None:
        """Read the file again if it has changed; one that cannot be read leaves the keys as they are."""
        if self._file is None or self._watched is None or not self._watched.changed():
            return
        try:
            keys = [*self._lasting, *_read_file(self._file)]
            if not keys:
                raise ConfigurationError(f"{self._file} holds no key")
        except ConfigurationError as error:
            logger.error("the API keys stay as they were: %s", error)
        else:
            self._keys = keys
            logger.warning("API keys read again: %s", ", ".join(sorted({key.name for key in keys})))


def new_key() -> str:
    """256 random bits, in letters that no shell and no header minds."""
    return secrets.token_urlsafe(32)


def digest_of(key: str) -> str:
    """As it stands in a list of keys."""
    return PREFIX + hashlib.sha256(key.encode()).hexdigest()


def read_keys(text: str, source: str) -> Sequence[Key]:
    """The keys of a list.

    Raises:
        ConfigurationError: a line is not of the form; it is named by its number in `source`.
    """
    keys = []
    for number, line in enumerate(re.split(r"[;\n]", text), start=1):
        words = line.split()
        if words and not words[0].startswith("#"):
            try:
                keys.append(_read_key(words))
            except ValueError as error:
                raise ConfigurationError(f"{source}, key {number}: {error}") from None
    return keys


def _read_file(path: Path) -> Sequence[Key]:
    try:
        return read_keys(path.read_text(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(f"the API keys in {path} cannot be read: {reason}") from None


def _read_key(words: Sequence[str]) -> Key:
    if not 3 <= len(words) <= 4:
        raise ValueError("a name, its scopes, a key and perhaps a rate were expected")
    name, scopes, secret = words[:3]
    if not _NAME.fullmatch(name):
        raise ValueError("the name must be letters, digits, dots and hyphens, 64 at the most")
    unknown = set(scopes.split(",")) - {*Scope}
    if unknown:
        raise ValueError(f"the scopes of {name} must be of {', '.join(Scope)}")
    rate = _read_rate(name, words[3]) if len(words) == 4 else None
    return Key(name, frozenset(map(Scope, scopes.split(","))), _read_digest(name, secret), rate)


def _read_digest(name: str, secret: str) -> bytes:
    if not secret.startswith(PREFIX):
        if len(secret) < MIN_LENGTH:
            raise ValueError(f"the key of {name} is shorter than {MIN_LENGTH} characters")
        return hashlib.sha256(secret.encode()).digest()
    if not _DIGEST.fullmatch(secret.removeprefix(PREFIX)):
        raise ValueError(f"the SHA-256 of {name} must be 64 digits of base 16 in lower case")
    return bytes.fromhex(secret.removeprefix(PREFIX))


def _read_rate(name: str, word: str) -> float:
    try:
        rate = float(word)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise ValueError(f"the rate of {name} must be a positive number of requests a second")
    return rate
