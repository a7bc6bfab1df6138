"""Addresses on the network: HOST:PORT, what gRPC connects to, URLs."""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import IPv6Address
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from licensemaster.values.text import BadValueError, plain

PORT_MAX: Final = 65_535
_HOW: Final = "write HOST:PORT, such as 192.0.2.10:7600 or [2001:db8::10]:7600"
_HOST: Final = re.compile(r"(?!-)[\w-]{1,63}(?<!-)(?:\.(?!-)[\w-]{1,63}(?<!-))*\.?")
_SCHEME: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+-]*)://")
_TARGET: Final = re.compile(r"(dns|ipv4|ipv6|unix|unix-abstract|vsock|xds):(?!\d+$)")


class Address(NamedTuple):
    """A host and a port."""

    host: str
    """A name, an IPv4 address, or an IPv6 address without its brackets."""
    port: int

    def __str__(self) -> str:
        """Return the address as HOST:PORT: `localhost:7600`, `[::1]:7600`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address(text: str) -> Address:
    """Return a HOST:PORT to connect to as an `Address`; an IPv6 address is in brackets.
    Raises BadValueError, which says what is missing or wrong."""
    read = listening_address(text)
    if read.port == 0:
        raise BadValueError(f"port 0 in {plain(text)[:80]!r} is none to connect to")
    return read


def listening_address(text: str) -> Address:
    """Return a HOST:PORT to listen on as an `Address`; port 0 means any free one.
    Raises BadValueError, which says what is missing or wrong."""
    cleaned = plain(text)
    if scheme := _SCHEME.match(cleaned):
        raise BadValueError(f"{cleaned[:80]!r} begins with {scheme[0]}, which no address has; {_HOW}")
    host, port = _parted(cleaned)
    if not host:
        raise BadValueError(f"no host in {cleaned[:80]!r}; {_HOW}" if cleaned else f"no host and no port; {_HOW}")
    if not port:
        raise BadValueError(f"no port in {cleaned[:80]!r}; {_HOW}")
    if not (port.isascii() and port.isdigit()):
        raise BadValueError(f"port {port[:40]!r} in {cleaned[:80]!r} is no number; {_HOW}")
    if len(port.lstrip("0")) > 5 or int(port) > PORT_MAX:
        raise BadValueError(f"port {port[:20]} is above {PORT_MAX}")
    return Address(host, int(port))


def target(text: str) -> str:
    """Return what gRPC connects to: a HOST:PORT, or with a scheme of gRPC's (`dns:///HOST:PORT`, `unix:/FILE`).
    Raises BadValueError, which says what is missing or wrong."""
    cleaned = plain(text)
    scheme = _TARGET.match(cleaned)
    if scheme is None:
        return str(address(cleaned))
    rest = cleaned[scheme.end() :]
    if scheme[1] in ("dns", "ipv4", "ipv6"):
        for part in re.sub(r"^//[^/]*/", "", rest).split(","):
            address(part)
    elif not rest.strip("/"):
        raise BadValueError(f"nothing stands behind {scheme[0]!r}")
    return cleaned


def url(text: str, *, schemes: Collection[str]) -> str:
    """Check that a URL has one of the schemes and a host. Errors do not show the URL, which may hold a password.
    Raises BadValueError, which says what is missing or wrong."""
    cleaned = plain(text)
    known = " or ".join(f"{scheme}://" for scheme in schemes)
    try:
        parts = urlsplit(cleaned)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise BadValueError(f"it is no URL: {str(error).lower()}") from error
    if parts.scheme.lower() not in schemes:
        raise BadValueError(f"it must begin with {known}")
    if not host:
        raise BadValueError("it names no host")
    if port == 0:
        raise BadValueError("port 0 is none to connect to")
    if not cleaned.isascii() or not cleaned.isprintable() or " " in cleaned:
        raise BadValueError("it has a character that no URL has; write it as %XX")
    return cleaned


def _parted(cleaned: str) -> tuple[str, str]:
    """Return the host and port of an address as they were written; the port is empty where there is none.
    Raises BadValueError if the text has no valid host."""
    if cleaned.startswith("["):
        inside, closed, behind = cleaned[1:].partition("]")
        if not closed or (behind and not behind.startswith(":")):
            raise BadValueError(f"{cleaned[:80]!r} has an unclosed or misplaced bracket; {_HOW}")
        if inside:
            _check_ipv6(inside)
        return inside, behind[1:]
    host, _, port = cleaned.rpartition(":") if ":" in cleaned else (cleaned, "", "")
    if cleaned.isdigit():
        raise BadValueError(f"no host in {cleaned[:80]!r}; {_HOW}")
    if ":" in host:
        raise BadValueError(f"{cleaned[:80]!r} looks like an IPv6 address without brackets; {_HOW}")
    if "/" in cleaned:
        raise BadValueError(f"{cleaned[:80]!r} has a path, which no address has; {_HOW}")
    if host and not _HOST.fullmatch(host):
        raise BadValueError(f"host {host[:80]!r} is no name and no IP address; {_HOW}")
    if re.fullmatch(r"[\d.]+", host) and not re.fullmatch(r"\d{1,3}(?:\.\d{1,3}){3}", host):
        raise BadValueError(f"host {host[:80]!r} is no IPv4 address: it has four numbers; {_HOW}")
    if re.fullmatch(r"[\d.]+", host) and any(int(part) > 255 for part in host.split(".")):
        raise BadValueError(f"host {host[:80]!r} is no IPv4 address: each number is 255 at most; {_HOW}")
    return host, port


def _check_ipv6(host: str) -> None:
    try:
        IPv6Address(host)
    except ValueError as error:
        raise BadValueError(f"host {host[:80]!r} in brackets is no IPv6 address; {_HOW}") from error
