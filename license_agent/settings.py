"""Every limit and default of an agent: LICENSE_AGENT_* variables or a TOML file."""

from __future__ import annotations

import grp
import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final

from license_agent.seat_rules import SeatRule
from licensemaster.daemon.setting_values import Limits
from licensemaster.daemon.settings import DaemonSettings
from licensemaster.files.texts import FileError, read_text
from licensemaster.values import listening_address, target, token
from slave_client import ClientConfig, TlsFiles

PREFIX: Final = "LICENSE_AGENT_"
_TOKEN_MIN: Final = 16
_PLAIN_TOKEN: Final = re.compile("[A-Za-z0-9._~+/=-]+")
_TLS: Final = "tls_certificate_file, tls_key_file, tls_ca_file"


def _seat_rule(text: str) -> str:
    SeatRule.read(text)
    return text


def _mode(value: str) -> str:
    if not (2 < len(value) <= 5 and set(value) <= set("01234567") and int(value, 8) <= 0o777):
        raise ValueError("must be an octal mode like 0660")
    return value


def _group(value: str) -> str:
    try:
        grp.getgrnam(value)
    except KeyError:
        raise ValueError("there is no such group on this machine") from None
    return value


def _loopback(value: str) -> str:
    address = listening_address(value)
    try:
        is_loopback = ip_address(address.host).is_loopback
    except ValueError:
        is_loopback = address.host == "localhost"
    if not is_loopback:
        raise ValueError("is no loopback address, like 127.0.0.1:7610: the agent talks to its own machine")
    return str(address)


@dataclass(frozen=True, kw_only=True, repr=False)
class AgentSettings(DaemonSettings):
    """Settings of one agent: one PBX, one lease, one state directory."""

    prefix = PREFIX

    masters: tuple[Annotated[str, target], ...] = ("127.0.0.1:7600",)
    """The masters as `HOST:PORT,HOST:PORT`, tried in this order, from the last good one on."""
    pbx: str
    """Which PBX this agent is for: `projects/PROJECT/pbxs/PBX`."""
    software_version: str
    """What the PBX runs, `12r1 sr4` (rules B2, B5)."""
    state_dir: Path = Path("license-agent")
    """Where the lease is kept over a restart; for this agent alone."""
    device_dir: Path | None = None
    """The folder of the PBX's device: with it, a release is certified as soon as the master asks (rule L2)."""
    tls_certificate_file: Path | None = None
    """The PBX's certificate, PEM. With it the next two: all three or none."""
    tls_key_file: Path | None = None
    """The certificate's key, PEM, without a password."""
    tls_ca_file: Path | None = None
    """Certificates of the authorities that sign masters' certificates, PEM."""
    plaintext: bool = False
    """Reach masters without TLS: for trying it out on one machine."""

    socket: Path = Path("license-agent.sock")
    """The Unix socket of the local API."""
    socket_mode: Annotated[str, _mode] = "0660"
    """Who may connect to it, as an octal mode: by default, the agent's user and the group."""
    socket_group: Annotated[str, _group] | None = None
    """The group of the socket: that of the PBX."""
    listen: Annotated[str, _loopback] | None = None
    """A loopback address for the local API besides the socket, `127.0.0.1:7610`; then with the token."""
    token_file: Path | None = None
    """The token that callers over `listen` show, as bearer token or as password, and this agent to Kamailio: a file, at
    least 16 characters, in which white space does not count. It is read once, at the start."""

    asks_waiting_max: Annotated[int, Limits(ge=1, le=100_000)] = 4_000
    """Requests that may wait for a master; further ones are answered 503. Held seats wait for nobody. Kamailio is told
    this number, of 4,000 at most, and asks no further."""
    connections_max: Annotated[int, Limits(ge=8, le=100_000)] = 500
    """Connections to the local API at a time, of them half over `listen`; further ones are answered 503."""
    readers_max: Annotated[int, Limits(ge=1, le=1_000)] = 16
    """Readers of /v1/events among them."""
    events_waiting_max: Annotated[int, Limits(ge=16, le=1_000_000)] = 4_096
    """Events that may wait for one reader; one that is further behind is dropped."""
    body_bytes_max: Annotated[int, Limits(ge=4_096, le=67_108_864)] = 8_388_608
    """Bytes of one request's body."""
    request_timeout_seconds: Annotated[float, Limits(gt=0, le=600)] = 10
    """How long a caller may take to send a request."""
    give_up_after_seconds: Annotated[float, Limits(gt=0, le=600)] = 10
    """How long a request may wait for a master in all, before it is answered 503."""
    call_timeout_seconds: Annotated[float, Limits(gt=0, le=600)] = 5
    """How long one attempt of one call to a master may take."""
    retry_after_seconds: Annotated[int, Limits(ge=1, le=3600)] = 5
    """When a caller that was answered 503 is told to come back."""

    kamailio: Annotated[str, _loopback] | None = None
    """The evapi of the Kamailio beside this agent, `127.0.0.1:8448`: registrations are decided for it."""
    kamailio_rpc: str = "http://127.0.0.1:5060/license-rpc"
    """Its JSON-RPC: who is registered."""
    kamailio_seats: tuple[Annotated[str, _seat_rule], ...] = ("*=port/user",)
    """What an address of record needs to register, `PATTERN=TYPE/KIND` or `PATTERN=none`, the first that fits (rule
    E2): `trunk-*=port/trunk,group-*=none,*=port/user`. Without one that fits it needs nothing."""
    kamailio_retry_after_seconds: Annotated[int, Limits(ge=1, le=86_400)] = 60
    """When a phone that was refused is told to try again."""
    kamailio_compare_seconds: Annotated[float, Limits(gt=0, le=86_400)] = 60
    """How often seats are compared with who is registered."""

    @property
    def seat_rules(self) -> tuple[SeatRule, ...]:
        """What registrations need."""
        return tuple(SeatRule.read(text) for text in self.kamailio_seats)

    def client_config(self) -> ClientConfig:
        """How the PBX reaches its masters.
        Raises ValueError if something makes no sense to the client, or nothing says how masters are believed."""
        files = (self.tls_certificate_file, self.tls_key_file, self.tls_ca_file)
        if self.plaintext and any(files):
            raise ValueError(f"plaintext: one of {_TLS} is set as well; choose one of the two")
        if not self.plaintext and not all(files):
            raise ValueError(f"{_TLS}: a PBX needs all three; to try it on this machine: --plaintext")
        certificate, key, ca = files
        tls = None
        if certificate and key and ca:
            tls = TlsFiles(certificate=certificate, key=key, ca=ca, setting="tls_{}_file")
        return ClientConfig(
            addresses=self.masters,
            pbx=self.pbx,
            software_version=self.software_version,
            state_dir=self.state_dir,
            device_dir=self.device_dir,
            tls=tls,
            caller=f"license-agent of {self.pbx}",
            call_timeout_seconds=self.call_timeout_seconds,
            give_up_after_seconds=self.give_up_after_seconds,
        )

    def secret(self) -> bytes | None:
        """The token of callers over `listen`, and of this agent at Kamailio; None where there is neither.
        Raises ValueError if the token is missing, cannot be read, is too short, or cannot stand in license.cfg."""
        if self.listen is None and self.kamailio is None:
            return None
        if self.token_file is None:
            shows = "who calls over `listen`" if self.listen is not None else "this agent, at Kamailio,"
            raise ValueError(f"token_file: not set; {shows} has to show a token")
        try:
            found = token(read_text(self.token_file))
        except FileError as error:
            raise ValueError(f"token_file: {error}") from error
        except ValueError as error:
            raise ValueError(f"token_file: {self.token_file}: {error}") from error
        if len(found) < _TOKEN_MIN:
            raise ValueError(f"token_file: {self.token_file}: the token has fewer than {_TOKEN_MIN} characters")
        if self.kamailio is not None and not _PLAIN_TOKEN.fullmatch(found):
            raise ValueError(f"token_file: {self.token_file}: for Kamailio, take letters, digits and -._~+/= alone")
        return found.encode()
