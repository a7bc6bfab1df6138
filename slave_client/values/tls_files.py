"""The files with a client's certificate and key, and with the authorities by which it trusts masters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc

from licensemaster.tls.pem import NamedFile, Pair, read_pair
from licensemaster.values.given import check_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Three PEM files. They may be replaced while the client runs: its next connection uses the new ones."""

    ca: Path
    """The authorities that sign masters' certificates."""
    certificate: Path
    """The PBX's certificate, for license-master://projects/{project}/pbxs/{pbx}."""
    key: Path
    """The certificate's key, without a password."""
    setting: str = "tls.{}"
    """The name of such a file in error messages, with `{}` for ca, certificate or key."""

    def __post_init__(self) -> None:
        check_fields(self)

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files for gRPC; raises ValueError naming those that cannot be read or do not belong together."""
        return self.read().credentials()

    def read(self) -> Pair:
        """Read the files; raises ValueError naming those that cannot be read or do not belong together."""
        return read_pair(
            self.named_certificate,
            NamedFile(self.setting.format("key"), self.key),
            NamedFile(self.setting.format("ca"), self.ca),
        )

    @property
    def named_certificate(self) -> NamedFile:
        """The certificate file with its name for error messages."""
        return NamedFile(self.setting.format("certificate"), self.certificate)

    def stamp(self) -> tuple[int, ...]:
        """Return numbers that change whenever the files change; an empty tuple while a file is missing."""
        try:
            statuses = [path.stat() for path in (self.ca, self.certificate, self.key)]
        except OSError:
            return ()
        return tuple(
            number
            for status in statuses
            for number in (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
        )
