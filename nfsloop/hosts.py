"""Which clients an entry of exports(5) means: addresses, networks, names, patterns. No I/O."""

from __future__ import annotations

import enum
import fnmatch
import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

#: A host name (RFC 1035 section 2.3.4), and what EXPORT can tell of a group (MNTNAMLEN).
HOST_BYTES = 255

_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?\Z", re.ASCII)
_NUMBERS = re.compile(r"[0-9.]+\Z", re.ASCII)


class Kind(enum.IntEnum):
    """Kinds of entries, in the order in which they are asked: the most specific first."""

    HOST = 0
    NETWORK = 1
    NETGROUP = 2
    WILDCARD = 3
    ANYONE = 4


class Names(Protocol):
    """What is known of names and addresses. Never waits; None stands for "not known yet"."""

    def addresses(self, name: str) -> Collection[Address] | None:
        """The addresses of a host name."""

    def names(self, address: Address) -> Collection[str] | None:
        """The names of an address, in small letters, each of which leads back to it."""

    def member(self, group: str, address: Address) -> bool | None:
        """Whether a netgroup has an address, or one of its names."""

    async def settle(self, address: Address | None) -> None:
        """Wait for what is being looked up about `address`, but not for ever."""


class NoNames:
    """For policies without names."""

    def addresses(self, name: str) -> Collection[Address]:
        """See `Names`."""
        return ()

    def names(self, address: Address) -> Collection[str]:
        """See `Names`."""
        return ()

    def member(self, group: str, address: Address) -> bool:
        """See `Names`."""
        return False

    async def settle(self, address: Address | None) -> None:
        """See `Names`."""


@dataclass(frozen=True, slots=True)
class HostPattern:
    """Whom an entry means, `text` as it was written. Two that mean the same are equal."""

    kind: Kind
    name: str
    network: Network | None = None
    text: str = field(default="", compare=False)
    _pattern: re.Pattern[str] | None = field(default=None, compare=False)

    @classmethod
    def parse(cls, text: str) -> HostPattern:
        """From what stands before the parenthesis in exports(5). Raises ValueError."""
        if text in {"", "*"}:
            return ANYONE
        if len(text.encode("utf-8", "surrogateescape")) > HOST_BYTES:
            raise ValueError(f"a host of more than {HOST_BYTES} bytes")
        if not text.isascii() or not text.isprintable():
            raise ValueError(f"{text!r} is no host: write other letters than ASCII's in punycode")
        if text.startswith("@"):
            if not text[1:]:
                raise ValueError("a netgroup's name belongs behind @")
            return cls(Kind.NETGROUP, text[1:], text=text)
        if text.startswith("gss/"):
            raise ValueError(f"{text!r}: Kerberos is not served")
        if "/" in text:
            network = _network(text)
            return cls(Kind.NETWORK, "", network, text)
        if "]:" in text or (text.startswith("[") and ":" in text):
            raise ValueError(f"{text!r}: IPv6 addresses are written without brackets")
        if any(character in text for character in "*?["):
            return cls(Kind.WILDCARD, text.lower(), None, text, _wildcard(text.lower()))
        return cls._host(text)

    @classmethod
    def _host(cls, text: str) -> HostPattern:
        try:
            address = _plain(ipaddress.ip_address(text))
            return cls(Kind.HOST, "", ipaddress.ip_network(address), text)
        except ValueError:
            if _NUMBERS.match(text) or not _NAME.match(text):
                raise ValueError(f"{text!r} is neither a host name nor an address") from None
        return cls(Kind.HOST, text.lower().removesuffix("."), text=text)

    @property
    def note(self) -> str:
        """What its author may not have meant; empty where there is nothing to say."""
        if self.kind is Kind.WILDCARD and not re.search(r"[a-z]", self.name):
            return f"{self.text!r} is compared with names: write addresses as 10.0.0.0/8"
        if self.kind is Kind.NETWORK and self.network is not None:
            written = self.text.partition("/")[0]
            if _plain(ipaddress.ip_address(written)) != self.network.network_address:
                return f"{self.text!r} is {self.network}"
        return ""

    @property
    def wants_names(self) -> bool:
        """Whether it takes the names of clients to tell whom it means."""
        return self.kind in {Kind.WILDCARD, Kind.NETGROUP}

    def matches(self, address: Address | None, names: Names) -> bool | None:
        """Whether it means the client at `address` (None: one that has none).

        The answer None says that it is not known yet.
        """
        if self.kind is Kind.ANYONE:
            return True
        if address is None:
            return False
        if self.network is not None:
            return address in self.network
        if self.kind is Kind.HOST:
            known = names.addresses(self.name)
            return None if known is None else address in known
        if self.kind is Kind.NETGROUP:
            return names.member(self.name, address)
        found = names.names(address)
        pattern = self._pattern
        assert pattern is not None
        return None if found is None else any(pattern.match(name) for name in found)


ANYONE = HostPattern(Kind.ANYONE, "*", text="*")


def _wildcard(text: str) -> re.Pattern[str]:
    try:
        return re.compile(fnmatch.translate(text.replace("[^", "[!")))
    except re.error as exc:
        raise ValueError(f"{text!r} is no pattern: {exc}") from None


def _network(text: str) -> Network:
    address, _, mask = text.partition("/")
    try:
        if "." in mask and ":" in address:
            raise ValueError("a netmask of the other kind")
        network = ipaddress.ip_network((address, _prefix(mask)), strict=False)
        mapped = _plain(network.network_address)
        if mapped.version != network.version and network.prefixlen >= 96:
            network = ipaddress.ip_network((mapped, network.prefixlen - 96))
        return network
    except ValueError:
        raise ValueError(
            f"{text!r} is no network: write 10.0.0.0/8, 10.0.0.0/255.0.0.0 or fd00::/8"
        ) from None


def _prefix(mask: str) -> int:
    """The length of a prefix, from a number or a netmask; no hostmask (0.0.0.255)."""
    if mask.isascii() and mask.isdecimal() and len(mask) < 4:
        return int(mask)
    bits = int(ipaddress.IPv4Address(mask))
    # A netmask is ones, then zeros: its complement is one less than a power of two.
    if (~bits & 0xFFFFFFFF) & ((~bits & 0xFFFFFFFF) + 1):
        raise ValueError("no netmask")
    return bits.bit_count()


def address_of(host: str) -> Address | None:
    """The address that a peer's `host` is, without the interface of a link-local one."""
    try:
        return _plain(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        return None


def _plain(address: Address) -> Address:
    """An IPv4 address that is mapped into IPv6 is IPv4's, as peers are."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
