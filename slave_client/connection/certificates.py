"""The client's certificate and the authorities that it trusts, as files. Renewed files are read again.

Decides: which files are in use. Those that cannot be read, do not belong together or are of no use to TLS are never
taken into use: at the start that is an error, later the former ones go on, and a notice says why. A certificate that
ended, or has not begun, is shown all the same: what the PBX was promised must outlive a restart, and the clock may be
wrong. Leaves to others: what is wrong with a file (`pem`, `handshake`), and when to look (`masters`).
"""

from __future__ import annotations

import threading
from typing import Final

from licensemaster.tls import handshake
from licensemaster.tls.pem import Pair
from licensemaster.values.moments import minute_text
from slave_client.connection.clocks import Clock
from slave_client.values.tls_files import TlsFiles

_AGAIN_SECONDS: Final = 60.0


class Certificates:
    """The certificate that a client shows, from its files as they were when they could last be used."""

    def __init__(self, files: TlsFiles, clock: Clock) -> None:
        self._files = files
        self._clock = clock
        self._lock = threading.Lock()  # calls that fail together wait for one check
        self._read_from: tuple[int, ...] = ()
        self._tried: tuple[tuple[int, ...], float] = (), 0.0
        self._checked: tuple[int, ...] = ()
        self._pair: Pair | None = None
        self.version = 0
        """A number that grows each time changed files are taken into use."""
        self._unusable: str | None = None
        """Why changed files were not taken into use; None where the files in use are those that are there."""
        self._dates: tuple[str, str] | None = None
        self._out_of_time: str | None = None

    @property
    def problem(self) -> str | None:
        """What was wrong at the last look with the files, or with the time of the certificate in use; None where
        nothing was wrong.
        """
        return self._unusable or self._out_of_time

    @property
    def pair(self) -> Pair:
        """The certificate, its key and the authorities to connect with."""
        assert self._pair is not None, "read before connecting"
        return self._pair

    def read(self) -> None:
        """Read the files and take them into use. Blocks.
        Raises ValueError if files cannot be read, do not belong together, or cannot be used for TLS, and names the
        files."""
        stamp = self._files.stamp()  # before reading: what changes meanwhile is read the next time
        self._pair = self._proven()
        self._read_from, self._unusable = stamp, None
        self._look_at_time()
        self.version += 1

    def look(self) -> bool:
        """Take changed files into use if they can be used; return whether files were taken into use. Blocks."""
        with self._lock:
            was_renewed = self._look()
            self._look_at_time()
            return was_renewed

    def check(self) -> None:
        """Find out what is wrong with the files and with the time; take nothing into use. Blocks."""
        with self._lock:
            stamp = self._files.stamp()
            if stamp == self._read_from:
                self._unusable = None
            elif stamp not in ((), self._checked):
                self._checked = stamp
                try:
                    self._proven()
                    self._unusable = None
                except ValueError as error:
                    self._unusable = _unusable(error)
            self._look_at_time()

    def _look(self) -> bool:
        stamp, now = self._files.stamp(), self._clock.now()
        if stamp in ((), self._read_from) or (stamp == self._tried[0] and now - self._tried[1] < _AGAIN_SECONDS):
            return False
        self._tried = stamp, now
        try:
            self.read()
        except ValueError as error:
            self._unusable = _unusable(error)
            return False
        return True

    def _proven(self) -> Pair:
        pair = self._files.read()
        is_in_time = _out_of_time(pair, self._clock.wall()) is None
        if is_in_time and (useless := handshake.caller_problem(pair)):
            raise self._files.named_certificate.wrong(useless)
        return pair

    def _look_at_time(self) -> None:
        now = self._clock.wall()
        dates = _out_of_time(self.pair, now)
        if dates != self._dates:  # else the text stays, with the moment of the first look: it is told once
            self._dates, self._out_of_time = dates, None
            if dates is not None:
                said, remedy = dates
                problem = f"{said}, and here it is {minute_text(now)}; {remedy}"
                self._out_of_time = str(self._files.named_certificate.wrong(problem))


def _unusable(error: ValueError) -> str:
    return f"changed files cannot be used, the former ones stay: {error}"


def _out_of_time(pair: Pair, now: float) -> tuple[str, str] | None:
    """Return what a certificate's dates say against its use now, and what helps; None where its time is now."""
    if pair.ends_at <= now:
        return f"ended {minute_text(pair.ends_at)}", "renew it, or set the clock"
    return (f"begins {minute_text(pair.begins_at)}", "set the clock, or wait") if pair.begins_at > now else None
