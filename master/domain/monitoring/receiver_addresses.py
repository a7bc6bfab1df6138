"""Where a master may connect to because a caller said so: to public addresses, and to networks that were allowed.

An operator of one customer names the receivers of webhooks, and the master that sends to them is inside the network:
without this check, its answers would show what is in that network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Network = IPv4Network | IPv6Network

_GLOBAL: Final = IPv6Network("2000::/3")
"""All IPv6 that is routed between networks; addresses outside it are local, reserved or multicast."""
_TRANSLATED: Final = IPv6Network("64:ff9b::/96")
"""NAT64: an IPv4 address in the last 32 bits."""
_NEVER_PUBLIC: Final = (
    IPv4Network("192.0.0.0/24"),  # for protocols
    IPv4Network("192.88.99.0/24"),  # relays of 6to4
    IPv6Network("3fff::/20"),  # documentation
)
"""Networks that the standard library of some versions takes for global."""


def may_be_told(host: str, allowed: Sequence[Network]) -> bool:
    """Tell whether webhook messages may be sent to an address: public ones, and those of the networks allowed.

    `host` is an address as it is about to be connected to, with a scope or without.
    """
    return all(_is_public(address) or _is_in(address, allowed) for address in _reached(ip_address(host)))


def _reached(address: IPv4Address | IPv6Address) -> Iterator[IPv4Address | IPv6Address]:
    """Yield the addresses that a packet may arrive at: also the IPv4 address that an IPv6 address stands for."""
    if isinstance(address, IPv4Address):
        yield address
    elif address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    elif address in _TRANSLATED:
        yield IPv4Address(int(address) & 0xFFFF_FFFF)
    else:
        yield address
        if address.sixtofour is not None:
            yield address.sixtofour
        if address.teredo is not None:
            yield from address.teredo


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv6Address) and address not in _GLOBAL:
        return False
    return not _is_in(address, _NEVER_PUBLIC)


def _is_in(address: IPv4Address | IPv6Address, networks: Sequence[Network]) -> bool:
    """Tell whether an address is in one of the networks; a network of the other family has none of its addresses."""
    plain = IPv6Address(int(address)) if isinstance(address, IPv6Address) else address  # without its scope
    return any(plain in network for network in networks)
