"""The configuration that a PBX maker gives the client, checked in one place. Nothing in this package reads the
environment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

from licensemaster.values import BadValueError, clean, public_key, resource, target
from licensemaster.values.given import check_fields
from licensemaster.values.text import REASON_MAX
from slave_client.values.tls_files import TlsFiles


class ConfigError(ValueError):
    """Raised for a configuration that cannot be used; the text names the field, the value or file, and what to do."""


_SECONDS_MAX: Final = 86_400
_DURATIONS: Final = (
    "call_timeout_seconds",
    "give_up_after_seconds",
    "backoff_base_seconds",
    "backoff_max_seconds",
    "save_every_seconds",
)
_OPTION_NUMBER_MAX: Final = 2**31 - 1
_PBX: Final = re.compile(r"projects/[a-z0-9-]{1,63}/pbxs/[a-z0-9-]{1,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """How one PBX reaches its license master. Raises ConfigError, a ValueError, where a field makes no sense."""

    addresses: tuple[str, ...]
    """The masters, as HOST:PORT ("license-master:7600") or other targets of gRPC; tried in this order, beginning
    with the last one that answered."""
    pbx: str
    """The PBX's name, as projects/{project}/pbxs/{pbx}."""
    software_version: str
    """The software version that the PBX runs, e.g. "12r1 sr4" (rules B2, B5)."""
    state_dir: Path | None = None
    """The folder that keeps the lease over a restart. Without a folder a restarted PBX has no offline rights."""
    device_dir: Path | None = None
    """The folder of the PBX's device (`DeviceKey`): with it, a release is certified as soon as the master asks."""
    trusted_keys: tuple[bytes, ...] = ()
    """The masters' public keys, Ed25519, raw 32 bytes. Without keys here, the first key seen is pinned."""
    tls: TlsFiles | None = None
    """Certificates as files, read again when they are renewed; None for plain text."""
    credentials: grpc.ChannelCredentials | None = None
    """Credentials instead of `tls`, for keys that are in no file; used unchanged while the client runs."""
    caller: str = ""
    """The caller's name in the master's audit, in printable ASCII; the PBX's name where empty."""
    call_timeout_seconds: float = 5.0
    """Seconds that one attempt of one call may take."""
    give_up_after_seconds: float = 10.0
    """Seconds that acquiring may take in all, retries included, before it is refused with NO_ANSWER."""
    backoff_base_seconds: float = 0.1
    """The longest pause after a first failure, in seconds; each further failure doubles the pause."""
    backoff_max_seconds: float = 10.0
    """The longest pause after many failures, in seconds."""
    save_every_seconds: float = 0.5
    """Least seconds between two writes of acquired seats to the state directory. Returned seats are written at once."""
    seats_per_call_max: int = 1000
    """The most seats that are joined into one call, 1 to 10,000."""
    channel_options: tuple[tuple[str, str | int], ...] = ()
    """Further gRPC channel arguments, as name and value."""

    def __post_init__(self) -> None:
        check_fields(self, ConfigError)
        if not self.addresses or not all(self.addresses):
            raise ConfigError("addresses must name at least one master")
        try:
            object.__setattr__(self, "addresses", tuple(target(address) for address in self.addresses))
        except BadValueError as error:
            raise ConfigError(f"addresses: {error}") from error
        object.__setattr__(self, "pbx", resource(self.pbx))
        object.__setattr__(self, "software_version", clean(self.software_version))
        if not _PBX.fullmatch(self.pbx):
            raise ConfigError(f"pbx must read projects/{{project}}/pbxs/{{pbx}}, not {self.pbx!r}")
        if self.tls is not None and self.credentials is not None:
            raise ConfigError("tls and credentials are two ways to say the same; give one")
        if not self.software_version:
            raise ConfigError("software_version must not be empty")
        if not (self.caller.isascii() and self.caller.isprintable() and len(self.caller) <= REASON_MAX):
            raise ConfigError(
                f"caller must be at most {REASON_MAX} printable ASCII characters, not {self.caller[:40]!r}"
            )
        for key in self.trusted_keys:
            try:
                public_key(key)
            except BadValueError as error:
                raise ConfigError(f"trusted_keys must be raw Ed25519 public keys: {error}") from error
        if not 1 <= self.seats_per_call_max <= 10_000:
            raise ConfigError("seats_per_call_max must be 1 to 10,000")
        for name in _DURATIONS:
            if not 0 < getattr(self, name) <= _SECONDS_MAX:
                raise ConfigError(f"{name} must be above 0, and at most {_SECONDS_MAX:,}, a day")
        if any(isinstance(number, int) and abs(number) > _OPTION_NUMBER_MAX for _, number in self.channel_options):
            raise ConfigError(f"channel_options: a number must be at most {_OPTION_NUMBER_MAX}, as gRPC has it")
        if self.backoff_max_seconds < self.backoff_base_seconds:
            raise ConfigError("backoff_max_seconds must not be below backoff_base_seconds")

    @property
    def caller_name(self) -> str:
        return self.caller or self.pbx
