from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.errors import ConfigurationError
from service.security.api_keys import ApiKeyStore, Scope, digest_of, new_key, read_keys
from tests.support.server.output_lines import DEADLINE

OLD, NEW = "the-first-key-of-two", "the-other-key-of-two"


def test_line_has_a_name_scopes_and_a_key_or_digest() -> None:
    plain, digest = read_keys(f"# list\n\nmobile infer {OLD}\nops infer,admin {digest_of(NEW)} 2.5\n", "file")
    assert (plain.name, plain.scopes, plain.rate) == ("mobile", frozenset({Scope.INFER}), None)
    assert (digest.name, digest.rate) == ("ops", 2.5)
    assert digest.scopes == {Scope.INFER, Scope.ADMIN}
    assert f"sha256:{plain.digest.hex()}" == digest_of(OLD)
    assert f"sha256:{digest.digest.hex()}" == digest_of(NEW)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("mobile", "a name, scopes, a key"),
        (f"mobile infer {OLD} 1 2", "a name, scopes, a key"),
        (f"-mobile infer {OLD}", "the name"),
        (f"mobile everything {OLD}", "infer, admin, metrics"),
        (f"mobile infer, {OLD}", "infer, admin, metrics"),
        ("mobile infer secret", "shorter than 16"),
        ("mobile infer sha256:secret", "64 lower-case hexadecimal digits"),
        (f"mobile infer {digest_of(OLD).upper().replace('SHA', 'sha')}", "64 lower-case hexadecimal digits"),
        *((f"mobile infer {OLD} {rate}", "the rate of mobile") for rate in ("0", "-1", "nan", "inf", "x")),
    ],
)
def test_invalid_line_is_numbered_and_not_quoted(line: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_keys(f"ops admin {NEW};{line}", "CONVSERVE_API_KEYS")
    assert str(caught.value).startswith("CONVSERVE_API_KEYS, key 2: ")
    assert complaint in str(caught.value)
    assert OLD not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_name_may_have_several_keys() -> None:
    store = ApiKeyStore(f"mobile infer {OLD}; mobile infer {NEW}", None)
    for key in (OLD, NEW):
        found = store.find(key.encode())
        assert found is not None
        assert found.name == "mobile"
    assert store.find(b"") is None
    assert store.find(OLD[:-1].encode()) is None
    assert store.find(digest_of(OLD).encode()) is None


def test_store_without_keys_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("# no key yet\n")
    with pytest.raises(ConfigurationError, match="contain no API key"):
        ApiKeyStore("", tmp_path / "keys")
    with pytest.raises(ConfigurationError, match="No such file"):
        ApiKeyStore("", tmp_path / "absent")


def test_changed_file_is_reloaded(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"mobile infer {OLD}\n")
    store = ApiKeyStore("", file)
    file.write_text(f"mobile infer {NEW} 10\n")
    store.refresh()
    assert store.find(OLD.encode()) is None
    assert store.find(NEW.encode()) is not None


def test_byte_order_mark_of_a_file_is_ignored(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"mobile infer {OLD}\n", encoding="utf-8-sig")
    found = ApiKeyStore("", file).find(OLD.encode())
    assert found is not None
    assert found.name == "mobile"


@pytest.mark.parametrize("content", [b"mobile everything\n", b"\xff\xfe", b""])
def test_invalid_file_keeps_the_previous_keys(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "keys"
    file.write_text(f"mobile infer {OLD}\n")
    store = ApiKeyStore("", file)
    file.write_bytes(content)
    store.refresh()
    store.refresh()
    assert store.find(OLD.encode()) is not None
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith("keeping the previous API keys: ")
    file.unlink()
    store.refresh()
    assert store.find(OLD.encode()) is not None


def test_pipe_is_read_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A shell passes `<(command)` as a pipe; to read it again would wait for a writer."""
    file = tmp_path / "keys"
    os.mkfifo(file)
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(file.write_text, f"mobile infer {OLD}\n")
        store = ApiKeyStore("", file)
        written.result(DEADLINE)
    store.reload()
    assert store.find(OLD.encode()) is not None
    assert "it is not a regular file" in caplog.text


def test_new_keys_are_long_and_unique() -> None:
    assert len({new_key() for _ in range(100)}) == 100
    (key,) = read_keys(f"mobile infer {digest_of(new_key())}", "file")
    assert len(key.digest) == 32
