"""Tells clients apart: by API key, by the address that a trusted proxy reports, or by their own address."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from ..errors import ConfigurationError

FORWARDED_FOR = b"x-forwarded-for"
# One customer usually has all addresses of such a network.
IPV6_PREFIX = 64
# A proxy appends one address; a client may send a list of any length before that.
MAX_FORWARDED_ADDRESSES = 32

Network = IPv4Network | IPv6Network


def address_identity(address: str) -> Hashable:
    """The identity of a client by its address; of an IPv6 address, by its network of 64 bits."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ip_network((parsed, IPV6_PREFIX), strict=False))
    return str(parsed)


def key_identity(name: str) -> Hashable:
    """The identity of a client by the name of its API key."""
    return "API key", name


class TrustedProxies:
    """The networks of proxies whose header X-Forwarded-For is believed."""

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = networks

    @classmethod
    def parse(cls, text: str | None) -> TrustedProxies:
        """The proxies of a list of addresses and networks, separated by commas.

        Raises:
            ConfigurationError: an element is neither.
        """
        elements = [element.strip() for element in (text or "").split(",")]
        try:
            return cls([ip_network(element, strict=False) for element in elements if element])
        except ValueError as error:
            raise ConfigurationError(f"CONVSERVE_TRUSTED_PROXIES: {error}") from error

    def __bool__(self) -> bool:
        return bool(self._networks)

    def trusts(self, address: str) -> bool:
        try:
            parsed = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._networks)

    def client_address(self, address: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """The address of the client of a request that arrived from `address`.

        Each proxy appends the address that it received the request from. The last address that is not of a
        trusted proxy is the client's; those before it are the client's own claims.
        """
        values = [value for name, value in headers if name == FORWARDED_FOR]
        forwarded = b",".join(values).decode("latin-1").rsplit(",", MAX_FORWARDED_ADDRESSES)
        for claimed in forwarded[: -MAX_FORWARDED_ADDRESSES - 1 : -1]:
            if not self.trusts(address):
                break
            claimed = _without_port(claimed.strip())
            if not claimed:
                break
            address = claimed
        return address


def _without_port(address: str) -> str:
    """The address of `host`, `host:port` or `[host]:port`."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address
