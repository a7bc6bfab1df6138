"""The client's certificate and the authorities that it trusts, as files. Renewed files are read again.

Decides: which files are in use. Those that cannot be read, do not belong together or are of no use to TLS are never
taken into use: at the start that is an error, later the former ones go on, and a notice says why. A certificate that
ended, or has not begun, is shown all the same: what the PBX was promised must outlive a restart, and the clock may be
wrong. Leaves to others: what is wrong with a file (`pem`, `handshake`), and when to look (`masters`).
"""

from __future__ import annotations

import threading
import time
from typing import Final

from licensemaster.tls import handshake
from licensemaster.tls.pem import Pair
from licensemaster.values.moments import minute_text
from slave_client.values.tls_files import TlsFiles

_AGAIN_SECONDS: Final = 60.0


class Certificates:
    """The certificate that a client shows, from its files as they were when they could last be used."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._lock = threading.Lock()  # calls that fail together wait for one check
        self._read_from: tuple[int, ...] = ()
        self._tried: tuple[tuple[int, ...], float] = (), 0.0
        self._pair: Pair | None = None
        self.version = 0
        """A number that grows each time changed files are taken into use."""
        self.problem: str | None = None
        """What is wrong with the files as they are now; None where nothing is wrong."""

    @property
    def pair(self) -> Pair:
        """The certificate, its key and the authorities to connect with."""
        assert self._pair is not None, "read before connecting"
        return self._pair

    def read(self) -> None:
        """Read the files and take them into use. Blocks.

        Raises:
            ValueError: files cannot be read, do not belong together, or cannot be used for TLS; names the files.
        """
        stamp = self._files.stamp()  # before reading: what changes meanwhile is read the next time
        pair = self._files.read()
        problem, file = _dates(pair, time.time()), self._files.named_certificate
        if problem is None and (useless := handshake.caller_problem(pair)):
            raise file.wrong(useless)
        self._read_from, self._pair = stamp, pair
        self.problem = str(file.wrong(problem)) if problem else None
        self.version += 1

    def look(self) -> bool:
        """Take changed files into use if they can be used; return whether files were taken into use. Blocks."""
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
