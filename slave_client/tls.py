"""Certificates as files: what the client shows its masters, and whom it believes. Renewed files are read again.

Decides: which files are in use. Those that cannot be read, do not belong together or are of no use to TLS are never
taken into use: at the start that is an error, later the former ones go on, and a notice says why. A certificate that
ended, or has not begun, is shown all the same: what the PBX was promised must outlive a restart, and the clock may be
wrong. Leaves to others: what is wrong with a file (`pem`, `handshake`), and when to look (`masters`).
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

from licensemaster.values.moments import minute_text
from slave_client import handshake
from slave_client.pem import NamedFile, Pair, read_pair

_AGAIN_SECONDS: Final = 60.0


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
        """Read the files for gRPC; raises ValueError naming those that cannot be read or do not belong together."""
        return self.read().credentials()

    def read(self) -> Pair:
        """Read the files; raises ValueError where they cannot be read or do not belong together, naming which."""
        return read_pair(
            NamedFile("tls.certificate", self.certificate),
            NamedFile("tls.key", self.key),
            NamedFile("tls.ca", self.ca),
        )

    def stamp(self) -> tuple[int, ...]:
        """Return numbers that change with the files; none while a file is missing."""
        try:
            statuses = [path.stat() for path in (self.ca, self.certificate, self.key)]
        except OSError:
            return ()
        return tuple(
            number
            for status in statuses
            for number in (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
        )


class Certificates:
    """The certificate that a client shows: its files as they were when they could last be used."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._lock = threading.Lock()  # calls that fail together wait for one look
        self._read_from: tuple[int, ...] = ()
        self._tried: tuple[tuple[int, ...], float] = (), 0.0
        self._pair: Pair | None = None
        self.version = 0
        """Grows when other files are taken into use."""
        self.problem: str | None = None
        """What is wrong with the files as they are now."""

    @property
    def pair(self) -> Pair:
        """The certificate, its key and the authorities to connect with."""
        assert self._pair is not None, "read before connecting"
        return self._pair

    def read(self) -> None:
        """Take the files into use. Blocks.

        Raises:
            ValueError: they cannot be read, do not belong together, or TLS cannot use them; names which.
        """
        stamp = self._files.stamp()  # before reading: what changes meanwhile is read the next time
        pair = self._files.read()
        problem, file = _dates(pair, time.time()), NamedFile("tls.certificate", self._files.certificate)
        if problem is None and (useless := handshake.calls(pair)):
            raise file.wrong(useless)
        self._read_from, self._pair = stamp, pair
        self.problem = str(file.wrong(problem)) if problem else None
        self.version += 1

    def look(self) -> bool:
        """Take changed files into use if they can be used; tell whether that was done. Blocks."""
        with self._lock:
            return self._look()

    def _look(self) -> bool:
        stamp, now = self._files.stamp(), time.monotonic()
        if stamp in ((), self._read_from) or (stamp == self._tried[0] and now - self._tried[1] < _AGAIN_SECONDS):
            return False
        self._tried = stamp, now
        try:
            self.read()
        except ValueError as error:
            self.problem = f"changed files cannot be used, the former ones stay: {error}"
            return False
        return True


def _dates(pair: Pair, now: float) -> str | None:
    here = f"here it is {minute_text(now)}"
    if pair.ends_at <= now:
        return f"ended {minute_text(pair.ends_at)}, and {here}; renew it, or set the clock"
    return f"begins {minute_text(pair.begins_at)}, and {here}; set the clock, or wait" if pair.begins_at > now else None
