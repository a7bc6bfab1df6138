"""A master's certificates, kept as its files are: what changed is read again until it could be, and used from then on.

What cannot be used leaves what was read before, is told in the log now and then, and shows in a gauge; how files are
read and what is wrong with them, `certificate_files` says.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from licensemaster.daemon.logs.sparing_log import SparingLog
from licensemaster.tls.pem import CertificateFilesError
from licensemaster.values.moments import minute_text
from master.auth.certificates.certificate_files import CertificateFiles, Read, read_files, with_revocations

_log = structlog.get_logger(__name__)
_AGAIN_SECONDS = 60.0


class Certificates:
    """A master's certificate files as last read. May be used from several threads."""

    def __init__(self, files: CertificateFiles, clock: Callable[[], float]) -> None:
        """`clock` gives UNIX seconds. Raises CertificateFilesError: the files cannot be used."""
        self._files = files
        self._clock = clock
        self._trouble = SparingLog(_log, clock=clock, lines_max=1, seconds=_AGAIN_SECONDS, each=("reason",))
        self._lock = threading.Lock()
        self._read_from = self._stamp()
        self._failed: tuple[Sequence[object], float] | None = None
        self.current = read_files(files, clock())
        self.problem: str | None = None
        """Why the present files are not `current`; None where they are."""
        self._tell_what_was_read()
        self._tell_what_is_overdue()

    def look(self) -> Read:
        """Read the files again where they changed; return the newest state that could be read."""
        with self._lock:
            stamp = self._stamp()  # before reading: what changes meanwhile is read the next time
            if stamp != self._read_from:
                self._read_again(stamp)
            self._tell_what_is_overdue()
            return self.current

    def _read_again(self, stamp: Sequence[object]) -> None:
        now = self._clock()
        if self._failed is None or self._failed[0] != stamp or not 0 <= now - self._failed[1] < _AGAIN_SECONDS:
            try:
                self.current = read_files(self._files, now)
            except CertificateFilesError as error:
                self.problem = str(error)
                self._failed = (stamp, now)  # else each connection would have it proven anew
                with suppress(CertificateFilesError):  # a bad renewal keeps no revocation from taking effect
                    self.current = with_revocations(self.current, self._files)
            else:
                self._read_from, self.problem, self._failed = stamp, None, None
                self._tell_what_was_read()
        if self.problem is not None:
            self._trouble.error("changed certificates cannot be used, the former ones stay", reason=self.problem)

    def _tell_what_was_read(self) -> None:
        _log.info("certificates read", revocations=self._revocations())
        if not self.current.is_known:
            _log.warning(
                "the certificate is signed by none of the authorities in tls_ca_file",
                remedy="give callers the authority that signed it; if that is in the file, add those between them to "
                f"{self._files.certificate}",
            )

    def _tell_what_is_overdue(self) -> None:
        now, begins_at, ends_at = self._clock(), self.current.begins_at, self.current.ends_at
        if not begins_at <= now < ends_at:
            self._trouble.error(
                "by this machine's clock it is not the time of this master's certificate; new connections fail",
                begins=minute_text(begins_at),
                ends=minute_text(ends_at),
                remedy="renew it, or set the clock: either takes effect by itself",
            )
        due = self.current.revocations_due
        if due is not None and due <= now:
            self._trouble.warning(
                "a newer list of revoked certificates is overdue, this one still counts", due=minute_text(due)
            )

    def _revocations(self) -> str:
        if self._files.revocations is None:
            return "not in force: no tls_revocations_file is set"
        return f"in force: {len(self.current.revoked)} revoked"

    def _stamp(self) -> Sequence[object]:
        files = self._files
        return [_stamp(path) for path in (files.certificate, files.key, files.ca, files.revocations) if path]


def _stamp(path: Path) -> tuple[int, int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size
