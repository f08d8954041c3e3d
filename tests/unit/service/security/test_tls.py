from __future__ import annotations

import random
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from service.errors import ConfigurationError
from service.security.tls import Tls, TlsFiles
from tests.support.server.certificates import Authority, Pair

REFRESHES = 5000


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def used(authority: Authority) -> Pair:
    return authority.sign("used")


@pytest.fixture
def files(used: Pair, authority: Authority) -> TlsFiles:
    return TlsFiles(used.certificate, used.key, authority.certificate)


def replace(target: Pair, source: Pair) -> None:
    target.certificate.write_bytes(source.certificate.read_bytes())
    target.key.write_bytes(source.key.read_bytes())


def connects(server: ssl.SSLContext, client: ssl.SSLContext) -> bool:
    """True if a handshake in memory succeeds."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(10):
        waiting = False
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                waiting = True
            except ssl.SSLError:
                return False
        if not waiting:
            return True
    return False


def trusting(authority: bytes, pair: Pair | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority.decode())
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # a rejected client certificate fails the handshake
    if pair is not None:
        context.load_cert_chain(pair.certificate, pair.key)
    return context


@contextmanager
def swapped_all_the_time(target: Pair, sources: list[Pair]) -> Iterator[None]:
    """A thread that writes certificates and keys of random sources in random order."""
    contents = [(pair.certificate.read_bytes(), pair.key.read_bytes()) for pair in sources]
    ended = threading.Event()

    def swap() -> None:
        generator = random.Random(1)
        while not ended.is_set():
            certificate, key = generator.choice(contents)
            writes = [(target.certificate, certificate), (target.key, key)]
            for path, content in generator.sample(writes, generator.randint(1, 2)):
                path.write_bytes(content)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_swaps_at_any_moment_leave_a_valid_pair(files: TlsFiles, used: Pair, authority: Authority) -> None:
    tls = Tls(files)
    with swapped_all_the_time(used, [authority.sign(name) for name in ("one", "two", "three")]):
        for _ in range(REFRESHES):
            tls.refresh()  # raised an error if the files changed between its two readings of them
        tls.certificates.context(verify_clients=True)  # raises an error for a mismatched pair
    client = authority.sign("client")
    trusted = authority.certificate.read_bytes()
    assert connects(tls.context, trusting(trusted, client))
    assert connects(tls.admin_context, trusting(trusted))


def test_clients_cannot_repeat_the_handshake(files: TlsFiles) -> None:
    for verify_clients in (False, True):
        assert files.read().context(verify_clients=verify_clients).options & ssl.OP_NO_RENEGOTIATION


def test_mismatched_pair_keeps_the_old_one(
    files: TlsFiles, used: Pair, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    tls = Tls(files)
    before = tls.certificates
    used.certificate.write_bytes(authority.sign("other").certificate.read_bytes())
    for _ in range(3):
        tls.refresh()
    assert tls.certificates is before
    assert "keeping the previous certificate: cannot load the TLS files" in caplog.text
    assert "KEY_VALUES_MISMATCH" in caplog.text
    assert caplog.text.count("keeping") == 1


def test_client_authority_is_reloaded(files: TlsFiles, authority: Authority, tmp_path: Path) -> None:
    tls = Tls(files)
    old, server_trust = authority.sign("client"), authority.certificate.read_bytes()
    (tmp_path / "new").mkdir()
    other = Authority(tmp_path / "new")
    new = other.sign("client")
    pairs = (old, new)

    def accepted() -> list[bool]:
        contexts = [trusting(server_trust, pair) for pair in pairs]
        return [connects(tls.context, context) for context in contexts]

    assert accepted() == [True, False]
    authority.certificate.write_bytes(other.certificate.read_bytes())
    tls.refresh()
    assert accepted() == [False, True]


def test_missing_file_is_not_reported(files: TlsFiles, used: Pair, caplog: pytest.LogCaptureFixture) -> None:
    tls = Tls(files)
    used.key.unlink()
    tls.refresh()
    assert caplog.records == []


def test_encrypted_key_is_rejected_without_asking_for_a_password(files: TlsFiles, used: Pair) -> None:
    key = serialization.load_pem_private_key(used.key.read_bytes(), None)
    used.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ConfigurationError, match="cannot load the TLS files"):
        Tls(files)
