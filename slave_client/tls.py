"""Certificates as files: what the client shows its masters, and whom it believes. Renewed files are read again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Three files, PEM. They may be replaced while the client runs; it shows the new ones when it next connects."""

    ca: Path
    """The authorities that sign masters' certificates."""
    certificate: Path
    """This PBX's, good for license-master://projects/{project}/pbxs/{pbx}."""
    key: Path
    """The certificate's key, without a password."""

    def credentials(self) -> grpc.ChannelCredentials:
        """What they hold now; raises OSError where one cannot be read."""
        return grpc.ssl_channel_credentials(self.ca.read_bytes(), self.key.read_bytes(), self.certificate.read_bytes())

    def stamp(self) -> tuple[int, ...]:
        """Changes with the files; empty while one is missing."""
        try:
            found = [path.stat() for path in (self.ca, self.certificate, self.key)]
        except OSError:
            return ()
        return tuple(number for one in found for number in (one.st_ino, one.st_mtime_ns, one.st_size))
