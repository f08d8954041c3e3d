from __future__ import annotations

import logging
from pathlib import Path

import pytest

from service.errors import ConfigurationError
from service.security.api_keys import ApiKeyStore, Scope, digest_of, new_key, read_keys

OLD, NEW = "the-first-key-of-two", "the-other-key-of-two"


def test_a_line_is_a_name_its_scopes_and_a_key_or_its_digest() -> None:
    plain, digest = read_keys(f"# who\n\nmobile infer {OLD}\nops infer,admin {digest_of(NEW)} 2.5\n", "file")
    assert (plain.name, plain.scopes, plain.rate) == ("mobile", frozenset({Scope.INFER}), None)
    assert (digest.name, digest.rate) == ("ops", 2.5)
    assert digest.scopes == {Scope.INFER, Scope.ADMIN}
    assert f"sha256:{plain.digest.hex()}" == digest_of(OLD)
    assert f"sha256:{digest.digest.hex()}" == digest_of(NEW)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("mobile", "a name, its scopes, a key"),
        (f"mobile infer {OLD} 1 2", "a name, its scopes, a key"),
        (f"-mobile infer {OLD}", "the name"),
        (f"mobile everything {OLD}", "infer, admin, metrics"),
        (f"mobile infer, {OLD}", "infer, admin, metrics"),
        ("mobile infer secret", "shorter than 16"),
        ("mobile infer sha256:secret", "64 digits"),
        (f"mobile infer {digest_of(OLD).upper().replace('SHA', 'sha')}", "64 digits"),
        *((f"mobile infer {OLD} {rate}", "the rate of mobile") for rate in ("0", "-1", "nan", "inf", "x")),
    ],
)
def test_a_line_of_another_form_is_named_and_never_quoted(line: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        read_keys(f"ops admin {NEW};{line}", "CONVSERVE_API_KEYS")
    assert str(refusal.value).startswith("CONVSERVE_API_KEYS, key 2: ")
    assert complaint in str(refusal.value)
    assert OLD not in str(refusal.value)
    assert "secret" not in str(refusal.value)


def test_each_of_several_keys_of_a_name_is_good() -> None:
    ring = ApiKeyStore(f"mobile infer {OLD}; mobile infer {NEW}", None)
    for key in (OLD, NEW):
        found = ring.find(key.encode())
        assert found is not None
        assert found.name == "mobile"
    assert ring.find(b"") is None
    assert ring.find(OLD[:-1].encode()) is None
    assert ring.find(digest_of(OLD).encode()) is None


def test_no_key_at_all_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("# nobody yet\n")
    with pytest.raises(ConfigurationError, match="there is no API key"):
        ApiKeyStore("", tmp_path / "keys")
    with pytest.raises(ConfigurationError, match="No such file"):
        ApiKeyStore("", tmp_path / "absent")


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"mobile infer {OLD}\n")
    ring = ApiKeyStore("", file)
    file.write_text(f"mobile infer {NEW} 10\n")
    ring.refresh()
    assert ring.find(OLD.encode()) is None
    assert ring.find(NEW.encode()) is not None


@pytest.mark.parametrize("content", [b"mobile everything\n", b"\xff\xfe", b""])
def test_a_broken_file_leaves_the_keys_as_they_are(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "keys"
    file.write_text(f"mobile infer {OLD}\n")
    ring = ApiKeyStore("", file)
    file.write_bytes(content)
    ring.refresh()
    ring.refresh()
    assert ring.find(OLD.encode()) is not None
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith("the API keys stay as they were: ")
    file.unlink()
    ring.refresh()
    assert ring.find(OLD.encode()) is not None


def test_a_new_key_is_long_and_never_the_same() -> None:
    assert len({new_key() for _ in range(100)}) == 100
    (key,) = read_keys(f"mobile infer {digest_of(new_key())}", "file")
    assert len(key.digest) == 32
