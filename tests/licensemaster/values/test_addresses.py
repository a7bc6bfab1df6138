"""Addresses say what is missing in their own words."""

from __future__ import annotations

import pytest

from licensemaster.values import Address, BadValueError, address, listening_address, target, url


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (" hq:7600\r\n", ("hq", 7600)),
        ("hq：７６００", ("hq", 7600)),
        ("license-master_1.example.com.:1", ("license-master_1.example.com.", 1)),
        ("192.0.2.1:65535", ("192.0.2.1", 65535)),
        ("[2001:db8::1]:7600", ("2001:db8::1", 7600)),
        ("[fe80::1%eth0]:7600", ("fe80::1%eth0", 7600)),
    ],
)
def test_addresses(written: str, read: tuple[str, int]) -> None:
    actual = address(written)
    assert actual == Address(*read)
    assert address(str(actual)) == actual


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "no host and no port"),
        ("hq", "no port in 'hq'"),
        ("hq:", "no port in 'hq:'"),
        ("[::1]", "no port in '[::1]'"),
        (":7600", "no host in ':7600'"),
        ("7600", "no host in '7600'"),
        ("[]:7600", "no host in"),
        ("hq:99999", "port 99999 is above 65535"),
        ("hq:" + "9" * 5000, "is above 65535"),
        ("hq:0", "port 0"),
        ("hq:76x", "port '76x' in 'hq:76x' is no number"),
        ("hq:-1", "is no number"),
        ("::1:7600", "IPv6 address without brackets"),
        ("[::1:7600", "bracket"),
        ("[hq]:7600", "no IPv6 address"),
        ("http://hq:7600", "begins with http://"),
        ("hq:7600/", "a path"),
        ("hq box:7600", "host 'hq box' is no name"),
        ("h..q:7600", "is no name"),
        ("192.0.2:7600", "no IPv4 address"),
        ("192.0.2.256:7600", "no IPv4 address"),
        ("\u202ehq:7600", "is no name"),
    ],
)
def test_what_is_no_address(written: str, said: str) -> None:
    for read in (address, target):
        with pytest.raises(BadValueError, match=r"^.{1,250}$") as refused:
            read(written)
        assert said in str(refused.value)


def test_any_free_port_is_for_those_who_listen() -> None:
    assert listening_address("127.0.0.1:0").port == 0


@pytest.mark.parametrize("written", ["dns:///hq:7600", "dns:hq:7600", "ipv4:192.0.2.1:1,192.0.2.2:1", "unix:/run/lm"])
def test_targets_of_grpc(written: str) -> None:
    assert target(f" {written}\n") == written


@pytest.mark.parametrize(("written", "said"), [("dns:///hq", "no port"), ("unix:", "nothing"), ("dns:7600", "")])
def test_targets_without_a_port(written: str, said: str) -> None:
    if said:
        with pytest.raises(BadValueError, match=said):
            target(written)
    else:
        assert target(written) == written, "a host called dns"


def test_urls() -> None:
    assert url(" https://example.com:8443/x?y=1\n", schemes=("https",)) == "https://example.com:8443/x?y=1"
    for bad, said in (
        ("example.com", "must begin with https://"),
        ("https://", "names no host"),
        ("https://x:99999/", "port out of range"),
        ("https://x/a b", "no URL has"),
        ("https://[::1/", "no URL"),
    ):
        with pytest.raises(BadValueError, match=said):
            url(bad, schemes=("https",))
