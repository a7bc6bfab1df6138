"""Every limit and default in one validated place: read once, from LICENSE_MASTER_* variables or a TOML file."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from licensemaster.daemon.setting_values import Limits
from licensemaster.daemon.settings import DaemonSettings
from licensemaster.values import listening_address
from master.domain.monitoring.receiver_addresses import Network
from master.variables import PREFIX

if TYPE_CHECKING:  # commands look here for what is a setting, and start without these
    from master.auth.certificates.certificate_files import CertificateFiles
    from master.domain.estate.estate import LeasePace

Seconds = Annotated[float, Limits(gt=0, le=3600)]

_HOW = (
    "`license-master pki init` and `license-master pki issue server` make certificates;"
    " name them with tls_certificate_file, tls_key_file and tls_ca_file (LICENSE_MASTER_TLS_*)"
)


def _address(value: str) -> str:
    return str(listening_address(value)) if value else value


def _address_or_socket(value: str) -> str:
    return value if value.startswith("unix:") else _address(value)


def _network(value: str | Network) -> Network:
    try:
        return ip_network(value)
    except ValueError as error:
        raise ValueError(f"no network like 10.1.0.0/16 or fd00:1::/48: {error}") from error


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings(DaemonSettings):
    """Settings of one master process."""

    prefix = PREFIX
    may_be_empty = frozenset({"metrics_listen", "catalog_files", "webhook_networks"})
    never_shown = frozenset({"database_url"})

    database_url: str = "sqlite:///license-master.db"
    """`sqlite:///FILE` for one master, `postgresql://USER@HOST/NAME` for several; `HOST:PORT,HOST:PORT` where one of
    several PostgreSQL servers is the one to write to. Never shown, for its password."""
    database_timeout_seconds: Annotated[float, Limits(ge=0.1, le=600)] = 10
    """How long PostgreSQL may take for one statement before the connection is given up."""
    listen: Annotated[str, _address_or_socket] = "127.0.0.1:7600"
    """Address of the gRPC services."""
    metrics_listen: Annotated[str, _address] = "127.0.0.1:7601"
    """Address of the metrics page; empty for none."""
    tls_certificate_file: Path | None = None
    """This master's certificate, PEM, good for servers and clients. With it the next two: all three or none."""
    tls_key_file: Path | None = None
    """The certificate's key, PEM, without a password."""
    tls_ca_file: Path | None = None
    """Certificates of the authorities whose certificates callers show, PEM."""
    tls_revocations_file: Path | None = None
    """Revoked certificates: a CRL of one of these authorities, PEM; read again when it changes."""
    plaintext: bool = False
    """Serve without TLS, on loopback addresses only: everybody who can connect may do everything."""
    catalog_files: tuple[Path, ...] = ()
    """Further catalogs besides those that come along."""

    ttl_seconds: Annotated[int, Limits(ge=5, le=86_400)] = 180
    """How long a PBX counts as connected after a renewal, unless its project says otherwise."""
    grace_seconds: Annotated[int, Limits(ge=0, le=2_592_000)] = 86_400
    """How long it may carry on by itself after that."""
    renew_jitter: Annotated[float, Limits(ge=0, le=0.5)] = 0.1
    """By what share renewals are moved at random, so that they spread."""
    clock_allowance_seconds: Annotated[float, Limits(ge=0, le=3600)] = 5
    """How long after its signed end a lease's seats wait, for PBXs whose clocks run behind."""

    seats_per_call_max: Annotated[int, Limits(ge=1, le=100_000)] = 10_000
    """Seats in one call."""
    message_bytes_max: Annotated[int, Limits(ge=65_536, le=268_435_456)] = 4_194_304
    """Bytes in one message."""
    streams_max: Annotated[int, Limits(ge=1)] = 20_000
    """Open WatchLease streams."""
    caller_calls_per_second: Annotated[float, Limits(ge=1)] = 50
    """Calls of one certificate's name, four seconds' worth at once; a healthy PBX makes a few. Fifty seats in a call
    count as another call. Further ones wait for their turn, and are told when to come back where that is more than two
    seconds off. Not in plain text."""
    caller_streams_max: Annotated[int, Limits(ge=1)] = 50
    """Open streams of one certificate's name. Not in plain text."""
    caller_calls_max: Annotated[int, Limits(ge=1)] = 200
    """Calls of one certificate's name at a time, besides streams. Not in plain text."""
    caller_questions_max: Annotated[int, Limits(ge=1)] = 16
    """Questions of one caller under way: lists, plans, reports, exports; they are answered one after the other."""
    questions_max: Annotated[int, Limits(ge=1)] = 128
    """The same of all callers. Leases wait for none of them."""
    refused_calls_per_second: Annotated[float, Limits(ge=0.1)] = 5
    """Calls that are refused for a certificate alone, in the same way: of one that was revoked or ended, or from one
    address where it names nobody. Not in plain text."""
    connection_calls_max: Annotated[int, Limits(ge=200)] = 300
    """Calls at a time over one connection, streams among them, before anything is known of them; gRPC ends more of them
    as UNAVAILABLE, so it is far above what a caller may have. Not in plain text."""
    message_timeout_seconds: Seconds = 10
    """How long a call's message may take to arrive."""
    handshake_timeout_seconds: Seconds = 10
    """How long a new connection may take to prove itself."""

    queue_length_max: Annotated[int, Limits(ge=1)] = 10_000
    """Requests that may wait for a commit; of more, the newest of whoever has most waiting are told to come back."""
    queue_seats_max: Annotated[int, Limits(ge=1000)] = 400_000
    """Seats that those requests may be about, in the same way."""
    queue_bytes_max: Annotated[int, Limits(ge=1_048_576)] = 268_435_456
    """Memory that they may take, about, in the same way."""
    batch_seats_max: Annotated[int, Limits(ge=1)] = 4_000
    """Seats decided in one commit, besides the first that want leases, return seats, or acquire seats."""
    hold_seconds: Annotated[float, Limits(ge=0, le=0.1)] = 0.005
    """How long a batch may be held back under load, so that it grows."""
    retry_after_seconds: Seconds = 0.25
    """When a caller that met a full queue is told to come back."""

    cooling_off_seconds: Annotated[int, Limits(ge=0, le=31_536_000)] = 604_800
    """How long a license that was released without its device's certificate waits before it can be bound again."""
    enrollment_seconds: Annotated[int, Limits(ge=60, le=2_592_000)] = 86_400
    """How long a device's one-time token can be used."""
    release_interval_seconds: Seconds = 2
    """How often releases under way are looked at."""

    expiry_interval_seconds: Seconds = 2
    """How often leases that ran out are looked for."""
    expiry_holders_max: Annotated[int, Limits(ge=1)] = 500
    """Holders whose seats are taken back in one step."""
    takeover_settle_seconds: Annotated[float, Limits(ge=0, le=60)] = 3
    """How long a PBX whose stream broke has to come back before its standby may take over."""
    keepalive_seconds: Annotated[float, Limits(ge=0.1, le=3600)] = 25
    """A caller that has been silent so long is pinged. PBXs with a stream ping by themselves, every 20 s."""
    keepalive_timeout_seconds: Annotated[float, Limits(ge=0.1, le=600)] = 5
    """One that does not answer a ping within so long is taken for gone, and its connection is closed."""
    watch_interval_seconds: Seconds = 1
    """How often streams look for changes made by other masters."""
    database_health_interval_seconds: Seconds = 2
    """How often the database is asked whether it answers, and for its time."""
    clock_offset_max_seconds: Seconds = 2
    """How far this machine's clock may be off the database's before the master says so."""
    drain_seconds: Seconds = 10
    """How long calls may take to finish on shutdown."""

    usage_interval_seconds: Seconds = 60
    """How often the usage history is brought up to date; a peak shorter than that may be missed."""
    usage_days_max: Annotated[int, Limits(ge=31, le=3650)] = 400
    """How many days of usage history are kept."""
    denied_after_seconds: Annotated[int, Limits(ge=1, le=86_400)] = 900
    """A holder that was refused and has no seat after so long counts as denied."""
    denied_names_days_max: Annotated[int, Limits(ge=1, le=3650)] = 31
    """How many days the names of holders that were denied are kept."""

    webhook_interval_seconds: Seconds = 5
    """How often what webhooks tell of is looked for, and what is to be told is sent."""
    webhook_timeout_seconds: Annotated[float, Limits(gt=0, le=60)] = 10
    """How long a webhook's receiver may take to answer."""
    webhook_ca_file: Path | None = None
    """Authorities of receivers' certificates, PEM, besides those that the system trusts; read at the start."""
    webhook_networks: tuple[Annotated[Network, _network], ...] = ()
    """Networks whose receivers may be told although their addresses are not public, `10.1.0.0/16,fd00:1::/48`:
    an operator may name every receiver in them."""

    agreement_interval_seconds: Seconds = 3600
    """How often renewals that are due are looked for; they are ordered by the day."""

    @property
    def certificate_files(self) -> CertificateFiles | None:
        """Where the certificates are; None in plain text.
        Raises ValueError if neither is set, or both, or plain text would leave this machine, and says what to do."""
        named = {
            "tls_certificate_file": self.tls_certificate_file,
            "tls_key_file": self.tls_key_file,
            "tls_ca_file": self.tls_ca_file,
        }
        certificate, key, ca = named.values()
        if self.plaintext:
            besides = {**named, "tls_revocations_file": self.tls_revocations_file}
            if set_too := [name for name, path in besides.items() if path]:
                raise ValueError(f"plaintext: {', '.join(set_too)} is set as well; choose one of the two")
            for name, listened_on in {
                "listen": self.listen,
                "metrics_listen": self.metrics_listen or "localhost:0",
            }.items():
                if not _is_loopback(listened_on):
                    raise ValueError(
                        f"{name}: {listened_on!r} is not a loopback address, and plaintext is for this machine alone;"
                        f" listen on 127.0.0.1, or serve with certificates: {_HOW}"
                    )
            return None
        if certificate and key and ca:
            from master.auth.certificates.certificate_files import CertificateFiles

            return CertificateFiles(certificate=certificate, key=key, ca=ca, revocations=self.tls_revocations_file)
        if missing := [name for name, path in named.items() if not path and any(named.values())]:
            raise ValueError(f"{', '.join(missing)}: not set; a master needs all of {', '.join(named)}")
        raise ValueError(f"nothing says how callers prove who they are. {_HOW}. To try it on this machine: --plaintext")

    @property
    def pace(self) -> LeasePace:
        """The server's default lease settings."""
        from master.domain.estate.estate import LeasePace

        return LeasePace(self.ttl_seconds, self.grace_seconds, max(self.ttl_seconds // 3, 1))


def _is_loopback(listened_on: str) -> bool:
    """Whether only this machine can reach an address."""
    if listened_on.startswith("unix:"):
        return True
    host = listening_address(listened_on).host
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
