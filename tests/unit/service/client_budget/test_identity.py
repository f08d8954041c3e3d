from __future__ import annotations

import pytest

from service.client_budget.identity import TrustedProxies, address_identity, key_identity
from service.errors import ConfigurationError

PROXIES = TrustedProxies.parse("10.0.0.0/8, 192.0.2.7,2001:db8:1::/48")


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2", True),
        ("no address", "no address", True),
        ("no address", "another", False),
    ],
)
def test_addresses_of_one_client_have_the_same_identity(first: str, second: str, same: bool) -> None:
    assert (address_identity(first) == address_identity(second)) is same


def test_key_differs_from_an_address_of_the_same_name() -> None:
    assert key_identity("192.0.2.1") != address_identity("192.0.2.1")


@pytest.mark.parametrize(
    ("address", "forwarded", "expected"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # not a proxy: the header is the client's claim
        ("10.1.2.3", [], "10.1.2.3"),
        ("10.1.2.3", ["198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", ["8.8.8.8, 198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", ["8.8.8.8, 198.51.100.1, 192.0.2.7"], "198.51.100.1"),
        ("10.1.2.3", ["8.8.8.8", "198.51.100.1", "192.0.2.7"], "198.51.100.1"),
        ("10.1.2.3", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.1.2.3", ["[2001:db8:2::1]:4711"], "2001:db8:2::1"),
        ("10.1.2.3", ["2001:db8:2::1"], "2001:db8:2::1"),
        ("2001:db8:1::9", ["198.51.100.1"], "198.51.100.1"),
        ("::ffff:10.1.2.3", ["198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", ["198.51.100.1, "], "10.1.2.3"),
        ("10.1.2.3", [", ".join(["10.0.0.1"] * 5000)], "10.0.0.1"),
    ],
)
def test_client_is_the_last_address_that_is_not_trusted(
    address: str, forwarded: list[str], expected: str
) -> None:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    assert PROXIES.client_address(address, [(b"host", b"x"), *headers]) == expected


def test_no_proxy_is_trusted_without_the_setting() -> None:
    assert not TrustedProxies.parse(None)
    assert not TrustedProxies.parse(" , ")
    assert not TrustedProxies.parse(None).trusts("127.0.0.1")


def test_unreadable_setting_names_its_variable() -> None:
    with pytest.raises(ConfigurationError, match="CONVSERVE_TRUSTED_PROXIES: 'proxy' does not appear"):
        TrustedProxies.parse("10.0.0.1,proxy")
