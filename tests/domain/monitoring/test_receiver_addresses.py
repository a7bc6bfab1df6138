"""Which addresses a master connects to because a caller named them."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from master.domain.monitoring.receiver_addresses import may_be_told

INSIDE = [
    "127.0.0.1", "127.255.255.254", "::1", "0.0.0.0", "0.1.2.3", "::", "10.0.0.1", "172.16.0.1", "172.31.255.255",
    "192.168.1.1", "fd00::1", "fc00::1", "fec0::1", "169.254.169.254", "fe80::1", "fe80::1%2", "100.64.0.1",
    "100.127.255.255", "224.0.0.1", "239.1.1.1", "ff02::1", "ff0e::1", "240.0.0.1", "255.255.255.255", "198.18.0.1",
    "192.0.2.1", "198.51.100.1", "203.0.113.1", "192.0.0.8", "192.88.99.1", "2001:db8::1", "3fff::1", "100::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::1",
    "2002:7f00:1::", "2002:a00:1::1", "2001:0:a00:1::1", "5f00::1", "4000::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]


@pytest.mark.parametrize("host", INSIDE)
def test_an_address_inside_is_told_nothing_unless_it_is_allowed(host: str) -> None:
    assert not may_be_told(host, [])
    assert not may_be_told(host, [ip_network("10.99.0.0/16"), ip_network("fd99::/16")])
    assert may_be_told(host, [ip_network("0.0.0.0/0"), ip_network("::/0")])


@pytest.mark.parametrize("host", PUBLIC)
def test_a_public_address_is_told(host: str) -> None:
    assert may_be_told(host, [])


@pytest.mark.parametrize("host", ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3"])
def test_what_is_allowed_is_so_in_every_spelling(host: str) -> None:
    assert may_be_told(host, [ip_network("10.1.0.0/16")])
    assert not may_be_told(host, [ip_network("10.2.0.0/16")])
